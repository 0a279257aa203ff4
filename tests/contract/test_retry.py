"""The contract of every store: an operator puts jobs back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_backburner.clock import moment
from flask_backburner.errors import JobForgotten, JobNotFound, JobNotRetryable
from flask_backburner.record import Cancelled, State
from flask_backburner.store.base import Presence, Store
from flask_backburner.store.claim import Report
from support.stores import (
    AGAIN,
    BROKEN,
    DONE,
    KEEPING,
    NOON,
    FakeClock,
    Home,
    add,
    claim,
    counted,
    crash,
    driven,
    finish,
    settle,
)


def test_a_failed_job_is_put_back(store: Store, worker: Presence, clock: FakeClock) -> None:
    finish(store, worker, "a", BROKEN)
    clock.move(3)
    record = store.retry("a")
    assert record == store.get("a")
    assert (record.state, record.version, record.fault) == (State.QUEUED, 4, None)
    assert record.run_at == record.updated_at == moment(NOON + 3)
    assert (record.started_at, record.finished_at, record.kept_until) == (None, None, None)
    assert record.worker is None
    assert store.counters() == counted(store) == {("default", State.QUEUED): 1}
    (held,) = claim(store, worker)
    assert (held.id, held.fence) == ("a", 2)


def test_a_cancelled_job_is_put_back(store: Store, worker: Presence) -> None:
    add(store, "a")
    store.request_cancel("a")
    record = store.retry("a")
    assert (record.state, record.cancel_requested) == (State.QUEUED, False)
    (held,) = claim(store, worker)
    assert store.turn(worker).cancelling == ()
    assert settle(store, worker, held, DONE) == []
    assert store.get("a").state is State.SUCCEEDED


def test_a_job_put_back_runs_at_once_whatever_its_time_was(store: Store, worker: Presence) -> None:
    add(store, "a", run_at=NOON + 1000)
    store.request_cancel("a")
    store.retry("a")
    assert [each.id for each in claim(store, worker)] == ["a"]


def test_failures_are_forgiven(store: Store, worker: Presence, clock: FakeClock) -> None:
    add(store, "a", retries=1)
    settle(store, worker, claim(store, worker)[0], AGAIN)
    clock.move(AGAIN.delay)
    settle(store, worker, claim(store, worker)[0], BROKEN)
    record = store.retry("a")
    assert (record.failures, record.retries_left) == (0, 1)
    (held,) = claim(store, worker)
    assert (held.failures, held.retries) == (0, 1)


def test_crashes_are_forgiven(home: Home, store: Store) -> None:
    add(store, "a", rescues=2)
    for crashes in range(3):
        crash(home, store, alone=crashes == 2)
    assert store.get("a").state is State.FAILED
    assert store.retry("a").crashes == 0
    for crashes in range(2):
        assert crash(home, store).crashes == crashes
    assert store.get("a").state is State.QUEUED


def test_what_a_job_kept_is_still_there_when_it_is_put_back(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.turn(worker, reports=[Report(held, saved=(("one", b"1"),))])
    settle(store, worker, held, BROKEN)
    store.retry("a")
    assert claim(store, worker)[0].saved == (("one", b"1"),)


def test_a_job_put_back_expires_no_more(store: Store, worker: Presence, clock: FakeClock) -> None:
    add(store, "a", start_by=NOON + 10)
    clock.move(10)
    store.rescue()
    assert store.retry("a").start_by is None
    clock.move(10)
    assert store.rescue() == []
    assert [each.id for each in claim(store, worker)] == ["a"]


def test_a_job_put_back_is_not_forgotten(store: Store, worker: Presence, clock: FakeClock) -> None:
    finish(store, worker, "a", BROKEN)
    store.retry("a")
    clock.move(KEEPING.failed)
    assert store.purge(10) == store.purge(10, before=clock.now() + 1) == []
    assert store.get("a").state is State.QUEUED


def test_who_held_a_job_before_it_was_put_back_is_refused(store: Store, worker: Presence) -> None:
    add(store, "a")
    (stale,) = claim(store, worker)
    settle(store, worker, stale, Cancelled())
    store.retry("a")
    assert settle(store, worker, stale, DONE) == [stale]
    claim(store, worker)
    assert settle(store, worker, stale, DONE) == [stale]


def test_what_a_worker_left_behind_harms_no_job_put_back(
    home: Home, store: Store, another: Callable[[], Store]
) -> None:
    dying = store.join()
    add(store, "a")
    (held,) = claim(store, dying)
    dying.started(held)
    settle(store, None, held, BROKEN)
    store.retry("a")
    home.kill(dying)
    assert another().rescue() == []
    assert store.get("a").state is State.QUEUED


def unfinished(store: Store, worker: Presence) -> None:
    add(store, "a")


def running(store: Store, worker: Presence) -> None:
    add(store, "a")
    claim(store, worker)


def succeeded(store: Store, worker: Presence) -> None:
    finish(store, worker, "a", DONE)


def external(store: Store, worker: Presence) -> None:
    add(store, "a", external=True)
    settle(store, None, driven("a"), BROKEN)


@pytest.mark.parametrize("make", [unfinished, running, succeeded, external])
def test_any_other_job_stays_as_it_is(
    store: Store, worker: Presence, make: Callable[[Store, Presence], None]
) -> None:
    make(store, worker)
    before = store.get("a")
    with pytest.raises(JobNotRetryable, match="To run it once more, start it anew") as refused:
        store.retry("a")
    assert (refused.value.id, refused.value.state) == ("a", before.state)
    assert store.get("a") == before
    assert store.counters() == counted(store)


def test_a_job_that_is_not_there_cannot_be_put_back(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    with pytest.raises(JobNotFound, match="There is no job 'nope'"):
        store.retry("nope")
    finish(store, worker, "a", BROKEN)
    clock.move(KEEPING.failed)
    with pytest.raises(JobForgotten):
        store.retry("a")
    store.purge(10)
    with pytest.raises(JobForgotten):
        store.retry("a")
