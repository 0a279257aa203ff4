"""The contract of every store: jobs that were not begun in time."""

from __future__ import annotations

from flask_backburner.clock import moment
from flask_backburner.record import Fault, Released, Retry, State
from flask_backburner.store.base import Presence, Store
from support.stores import (
    KEEPING,
    NOON,
    FakeClock,
    Home,
    add,
    claim,
    counted,
    settle,
)


def test_a_job_not_begun_in_time_expires(store: Store, worker: Presence, clock: FakeClock) -> None:
    add(store, "a", start_by=NOON + 10)
    clock.move(9.9)
    assert store.rescue() == []
    clock.move(0.1)
    assert claim(store, worker) == []
    assert store.rescue() == ["a"]
    assert store.rescue() == []
    record = store.get("a")
    assert (record.state, record.attempt, record.version) == (State.FAILED, 0, 2)
    assert record.finished_at == moment(NOON + 10)
    assert record.kept_until == moment(NOON + 10 + KEEPING.failed)
    assert record.fault is not None
    assert record.fault.code == "expired"
    assert store.counters() == counted(store) == {("default", State.FAILED): 1}


def test_a_job_begun_in_time_does_not_expire(
    home: Home, store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", start_by=NOON + 10)
    (held,) = claim(store, worker)
    clock.move(11)
    assert store.rescue() == []
    settle(store, worker, held, Retry(Fault("error", "No"), 5))
    clock.move(5)
    assert store.rescue() == []
    assert [each.id for each in claim(store, worker)] == ["a"]


def test_a_job_that_was_claimed_and_not_begun_expires(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", start_by=NOON + 10)
    (held,) = claim(store, worker)
    clock.move(11)
    settle(store, worker, held, Released(started=False))
    assert claim(store, worker) == []
    assert store.rescue() == ["a"]


def test_a_job_whose_time_to_start_comes_after_it_expires(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", run_at=NOON + 20, start_by=NOON + 10)
    clock.move(20)
    assert claim(store, worker) == []
    assert store.rescue() == ["a"]


def test_a_job_of_a_paused_queue_expires(store: Store, clock: FakeClock) -> None:
    add(store, "a", start_by=NOON + 10)
    store.pause("default", True)
    clock.move(10)
    assert store.rescue() == ["a"]


def test_a_cancelled_job_does_not_expire(store: Store, clock: FakeClock) -> None:
    add(store, "a", start_by=NOON + 10)
    store.request_cancel("a")
    clock.move(10)
    assert store.rescue() == []
    assert store.get("a").state is State.CANCELLED


def test_an_expired_job_keeps_no_other_from_running(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", "b", start_by=NOON + 10, priority=9)
    add(store, "c", "d")
    clock.move(10)
    assert [each.id for each in claim(store, worker, 1)] == ["c"]


def test_a_crowd_that_has_expired_is_gone_at_once(store: Store, clock: FakeClock) -> None:
    """Or every claim would have to look past those that are left."""
    ids = [f"job-{number}" for number in range(2500)]
    add(store, *ids, start_by=NOON + 10)
    clock.move(10)
    assert sorted(store.rescue()) == sorted(ids)
    assert store.counters() == {("default", State.FAILED): 2500}
