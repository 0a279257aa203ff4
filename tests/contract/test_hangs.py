"""The contract of every store: workers whose loop stands still."""

from __future__ import annotations

from collections.abc import Callable

from flask_backburner.record import State
from flask_backburner.store.base import Presence, Store
from support.stores import (
    DONE,
    JITTER,
    FakeClock,
    add,
    claim,
    counted,
    settle,
)

HANG = 10.0


def watched(store: Store, clock: FakeClock, seconds: float) -> list[str]:
    """What is rescued within so many seconds by a store that looks every second."""
    rescued = store.rescue(HANG)
    for _ in range(int(seconds)):
        clock.move(1)
        rescued += store.rescue(HANG)
    return rescued


def test_a_worker_that_shows_no_beat_hangs(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    worker.started(held)
    worker.beat()
    assert watched(store, clock, HANG - 1) == []
    assert store.get("a").state is State.RUNNING
    assert watched(store, clock, 2) == ["a"]
    record = store.get("a")
    assert (record.state, record.crashes, record.failures) == (State.QUEUED, 0, 0)
    assert (record.worker, record.started_at, record.fault) == (None, None, None)
    assert store.counters() == counted(store)


def test_what_a_hung_worker_says_later_is_refused(
    store: Store, worker: Presence, another: Callable[[], Store], clock: FakeClock
) -> None:
    add(store, "a")
    (stale,) = claim(store, worker)
    worker.started(stale)
    watched(store, clock, HANG + 1)
    clock.move(JITTER)
    other = another()
    (held,) = claim(other, other.join())
    assert (held.id, held.fence) == ("a", 2)
    assert settle(store, worker, stale, DONE) == [stale]
    assert settle(other, None, held, DONE) == []


def test_a_worker_that_beats_does_not_hang(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    worker.started(claim(store, worker)[0])
    for _ in range(5):
        worker.beat()
        assert watched(store, clock, HANG - 1) == []
    assert store.get("a").state is State.RUNNING


def test_a_worker_that_goes_on_after_a_hang_is_a_worker_again(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    claim(store, worker)
    assert watched(store, clock, HANG + 1) == ["a"]
    clock.move(JITTER)
    worker.beat()
    (again,) = claim(store, worker)
    assert watched(store, clock, HANG - 1) == []
    assert settle(store, worker, again, DONE) == []


def test_a_hang_is_what_was_watched_and_not_what_was_before(
    store: Store, worker: Presence, another: Callable[[], Store], clock: FakeClock
) -> None:
    add(store, "a")
    worker.started(claim(store, worker)[0])
    worker.beat()
    clock.move(1e6)
    assert store.rescue(HANG) == []
    assert watched(store, clock, HANG - 1) == []
    assert another().rescue(HANG) == []  # it begins to watch only now
    assert store.get("a").state is State.RUNNING


def test_nobody_hangs_where_no_limit_is_given(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    worker.started(claim(store, worker)[0])
    for _ in range(5):
        clock.move(HANG)
        assert store.rescue() == []


def test_a_job_of_a_hung_worker_with_a_cancel_asked_is_cancelled(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    worker.started(claim(store, worker)[0])
    store.request_cancel("a")
    assert watched(store, clock, HANG + 1) == ["a"]
    assert store.get("a").state is State.CANCELLED


def test_a_clock_that_is_set_lets_nobody_hang(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    worker.started(claim(store, worker)[0])
    worker.beat()
    assert store.rescue(HANG) == []
    clock.set_forward(1e6)
    assert store.rescue(HANG) == []
    clock.set_forward(-2e6)
    assert store.rescue(HANG) == []
