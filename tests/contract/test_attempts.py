"""The contract of every store: what follows an attempt that failed or crashed."""

from __future__ import annotations

from flask_backburner.clock import moment
from flask_backburner.record import (
    Crashed,
    Retry,
    State,
)
from flask_backburner.store.base import Presence, Store
from flask_backburner.store.claim import Claim, Settlement
from support.stores import (
    AGAIN,
    BROKEN,
    DONE,
    JITTER,
    NOON,
    FakeClock,
    add,
    claim,
    counted,
    settle,
)


def test_a_failed_attempt_is_followed_by_another_after_its_delay(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", retries=3)
    (held,) = claim(store, worker)
    clock.move(1)
    assert settle(store, worker, held, AGAIN) == []
    record = store.get("a")
    assert (record.state, record.version, record.attempt) == (State.QUEUED, 3, 1)
    assert (record.failures, record.retries_left, record.crashes) == (1, 2, 0)
    assert record.run_at == moment(NOON + 1 + 5)
    assert (record.worker, record.started_at, record.finished_at) == (None, None, None)
    assert record.kept_until is None
    clock.move(4.9)
    assert claim(store, worker) == []
    clock.move(0.1)
    assert claim(store, worker) == [
        Claim("a", 2, "task", "default", 2, b"[]", failures=1, retries=3)
    ]
    assert store.counters() == counted(store)


def test_a_claim_tells_how_many_retries_there_are(store: Store, worker: Presence) -> None:
    add(store, "a", retries=2)
    (held,) = claim(store, worker)
    assert (held.failures, held.retries, held.crashes) == (0, 2, 0)


def test_without_a_delay_a_job_is_tried_again_in_the_same_turn(
    store: Store, worker: Presence
) -> None:
    add(store, "a", retries=1)
    (held,) = claim(store, worker)
    again = Settlement(held, Retry(AGAIN.fault))
    (second,) = store.turn(worker, settled=[again], room=1, tasks=["task"]).claimed
    assert (second.id, second.fence, second.attempt, second.failures) == ("a", 2, 2, 1)


def test_why_the_last_attempt_failed_is_told_until_the_job_is_over(
    store: Store, worker: Presence
) -> None:
    add(store, "a", retries=1)
    (first,) = claim(store, worker)
    settle(store, worker, first, Retry(AGAIN.fault))
    assert store.get("a").fault == AGAIN.fault
    (second,) = claim(store, worker)
    assert store.get("a").fault == AGAIN.fault
    settle(store, worker, second, DONE)
    assert store.get("a").state is State.SUCCEEDED
    assert store.get("a").fault is None


def test_the_last_failure_is_the_one_that_is_told(store: Store, worker: Presence) -> None:
    add(store, "a", retries=1)
    settle(store, worker, claim(store, worker)[0], Retry(AGAIN.fault))
    settle(store, worker, claim(store, worker)[0], BROKEN)
    record = store.get("a")
    assert (record.state, record.fault) == (State.FAILED, BROKEN.fault)


def test_an_attempt_that_failed_after_a_cancel_is_the_last(store: Store, worker: Presence) -> None:
    add(store, "a", retries=1)
    (held,) = claim(store, worker)
    store.request_cancel("a")
    settle(store, worker, held, AGAIN)
    assert store.get("a").state is State.CANCELLED
    assert store.get("a").finished_at == moment(NOON)


def test_a_job_that_waits_for_its_next_attempt_can_be_cancelled(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", retries=1)
    settle(store, worker, claim(store, worker)[0], AGAIN)
    assert store.request_cancel("a").state is State.CANCELLED
    clock.move(5)
    assert claim(store, worker) == []


def test_a_job_whose_process_died_is_a_crash(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", retries=1)
    (held,) = claim(store, worker)
    assert settle(store, worker, held, Crashed()) == []
    record = store.get("a")
    assert (record.state, record.attempt, record.crashes) == (State.QUEUED, 1, 1)
    assert (record.failures, record.worker, record.started_at) == (0, None, None)
    assert moment(NOON) <= record.run_at <= moment(NOON + JITTER)
    clock.move(JITTER)
    (again,) = claim(store, worker)
    assert (again.fence, again.attempt, again.crashes) == (2, 2, 1)


def test_a_job_whose_process_died_too_often_is_lost(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", rescues=1)
    for _ in range(2):
        settle(store, worker, claim(store, worker)[0], Crashed())
        clock.move(JITTER)
    record = store.get("a")
    assert (record.state, record.crashes) == (State.FAILED, 2)
    assert record.fault is not None
    assert record.fault.code == "lost"
    assert store.counters() == counted(store) == {("default", State.FAILED): 1}


def test_a_job_whose_process_died_after_a_cancel_is_cancelled(
    store: Store, worker: Presence
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.request_cancel("a")
    settle(store, worker, held, Crashed())
    assert (store.get("a").state, store.get("a").crashes) == (State.CANCELLED, 0)
