"""The contract of every store: the jobs of workers that died."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_backburner.clock import moment
from flask_backburner.record import SUSPICIOUS, Released, State
from flask_backburner.store.base import Presence, Store, WorkerInfo
from flask_backburner.store.claim import Claim
from support.stores import (
    DONE,
    JITTER,
    NOON,
    FakeClock,
    Home,
    add,
    claim,
    counted,
    crash,
    settle,
)


def test_a_living_worker_is_never_rescued(
    store: Store, worker: Presence, another: Callable[[], Store], clock: FakeClock
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    worker.started(held)
    clock.move(1e9)
    assert another().rescue() == store.rescue() == []
    assert settle(store, worker, held, DONE) == []


def test_a_job_that_had_started_is_a_crash(
    home: Home, store: Store, another: Callable[[], Store]
) -> None:
    dying = store.join()
    add(store, "a")
    (held,) = claim(store, dying)
    assert dying.started(held)
    home.kill(dying)
    assert len(another().rescue()) == 1
    record = store.get("a")
    assert (record.state, record.attempt, record.crashes) == (State.QUEUED, 1, 1)
    assert (record.worker, record.started_at) == (None, None)
    assert moment(NOON) <= record.run_at <= moment(NOON + JITTER)
    assert settle(store, store.join(), held, DONE) == [held]


def test_a_rescued_job_runs_again_within_half_a_second(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a")
    dying.started(claim(store, dying)[0])
    home.kill(dying)
    store.rescue()
    home.clock.move(JITTER)
    assert claim(store, store.join()) == [Claim("a", 2, "task", "default", 2, b"[]", crashes=1)]


def test_a_job_that_had_not_started_is_not_blamed(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a", "b")
    first, _second = claim(store, dying)
    dying.started(first)
    home.kill(dying)
    assert len(store.rescue()) == 2
    record = store.get("b")
    assert (record.state, record.attempt, record.crashes) == (State.QUEUED, 0, 0)
    assert record.run_at == moment(NOON)
    assert store.get("a").crashes == 1


def test_a_worker_that_leaves_with_jobs_is_rescued_as_one_that_died(
    store: Store, worker: Presence
) -> None:
    add(store, "a", "b")
    first, _second = claim(store, worker)
    worker.started(first)
    worker.leave()
    worker.leave()
    assert len(store.rescue()) == 2
    assert [store.get(id).crashes for id in "ab"] == [1, 0]


def test_a_job_with_a_cancel_asked_is_cancelled_by_its_rescue(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a")
    dying.started(claim(store, dying)[0])
    store.request_cancel("a")
    home.kill(dying)
    assert len(store.rescue()) == 1
    assert (store.get("a").state, store.get("a").crashes) == (State.CANCELLED, 0)
    assert store.get("a").finished_at == moment(NOON)


def test_after_three_rescues_a_job_is_lost(home: Home, store: Store) -> None:
    add(store, "a")
    for crashes in (1, 2, 3, 4):
        crash(home, store, alone=crashes > SUSPICIOUS)
        assert store.get("a").crashes == crashes
    record = store.get("a")
    assert (record.state, record.attempt, record.fence) == (State.FAILED, 4, 4)
    assert record.fault is not None
    assert record.fault.code == "lost"
    assert claim(store, store.join()) == claim(store, store.join(), alone=True) == []
    assert store.counters() == counted(store) == {("default", State.FAILED): 1}


@pytest.mark.parametrize("rescues", [0, 1])
def test_a_job_is_lost_after_as_many_crashes_as_are_forgiven(
    home: Home, store: Store, rescues: int
) -> None:
    add(store, "a", rescues=rescues)
    for _ in range(rescues):
        crash(home, store)
        assert store.get("a").state is State.QUEUED
    crash(home, store)
    record = store.get("a")
    assert (record.state, record.crashes) == (State.FAILED, rescues + 1)
    assert record.fault is not None
    assert record.fault.code == "lost"


def test_a_crash_uses_up_no_retry(home: Home, store: Store) -> None:
    add(store, "a", retries=2)
    crash(home, store)
    assert (store.get("a").failures, store.get("a").retries_left) == (0, 2)


def test_a_worker_that_somebody_saw_die_is_rescued_at_once(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a", "b")
    (held, _) = claim(store, dying)
    dying.started(held)
    home.kill(dying)
    store.bury(dying.worker)
    store.bury(dying.worker)
    assert sorted(store.rescue()) == ["a", "b"]
    assert [store.get(id).crashes for id in "ab"] == [1, 0]
    assert store.workers() == []


def test_nobody_is_buried_for_a_worker_that_is_unknown(store: Store, worker: Presence) -> None:
    add(store, "a")
    claim(store, worker)
    store.bury("nobody")
    assert store.rescue() == []
    assert [info.worker for info in store.workers()] == [worker.worker]


def test_who_is_known_to_be_dead_is_not_vouched_for_any_more(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a")
    dying.started(claim(store, dying)[0])
    home.kill(dying)
    store.bury(dying.worker)
    store.vouch(dying.worker)
    assert store.rescue() == ["a"]


def test_nobody_comes_to_life_by_being_vouched_for(store: Store, worker: Presence) -> None:
    store.vouch("nobody")
    store.vouch(worker.worker)
    assert [info.worker for info in store.workers()] == [worker.worker]


def test_a_rescue_happens_once(home: Home, store: Store, another: Callable[[], Store]) -> None:
    dying = store.join()
    add(store, "a")
    dying.started(claim(store, dying)[0])
    home.kill(dying)
    assert [store.rescue(), another().rescue(), store.rescue()] == [["a"], [], []]


def test_what_a_dead_worker_had_settled_stays_settled(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a")
    (held,) = claim(store, dying)
    dying.started(held)
    settle(store, dying, held, DONE)
    home.kill(dying)
    assert len(store.rescue()) == 0
    assert store.get("a").state is State.SUCCEEDED


def test_a_claim_held_no_more_is_not_started(
    store: Store, worker: Presence, another: Callable[[], Store]
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    assert worker.started(held)
    settle(store, worker, held, Released())
    assert not worker.started(held)


def test_workers_tell_what_they_are_there_for(home: Home, store: Store) -> None:
    one, two = store.join(4, ["b", "a"]), store.join()
    dying = store.join()
    home.kill(dying)
    expected = [WorkerInfo(one.worker, 4, ["a", "b"]), WorkerInfo(two.worker, 1, None)]
    assert sorted(store.workers(), key=lambda info: -info.threads) == expected
    one.leave()
    assert [info.worker for info in store.workers()] == [two.worker]
