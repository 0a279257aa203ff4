"""The contract of every store: cancelling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_backburner.clock import moment
from flask_backburner.record import Cancelled, Outcome, State
from flask_backburner.store.base import Presence, Store
from support.stores import BROKEN, DONE, NOON, FakeClock, add, claim, counted, settle


def test_a_queued_job_is_cancelled_at_once(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    clock.move(1)
    record = store.request_cancel("a")
    assert record == store.get("a")
    assert (record.state, record.version, record.cancel_requested) == (State.CANCELLED, 2, True)
    assert record.finished_at == moment(NOON + 1)
    assert claim(store, worker) == []


def test_a_running_job_is_asked_to_stop(
    store: Store, worker: Presence, another: Callable[[], Store]
) -> None:
    add(store, "a", "b")
    claim(store, worker)
    record = another().request_cancel("a")
    assert (record.state, record.version, record.cancel_requested) == (State.RUNNING, 3, True)
    assert store.turn(worker).cancelling == ("a",)
    assert store.turn(store.join()).cancelling == ()


def test_asking_again_changes_nothing(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    assert store.request_cancel("a") == store.request_cancel("a")
    settle(store, worker, held, Cancelled())
    before = store.get("a")
    assert store.request_cancel("a") == before
    assert store.turn(worker).cancelling == ()


@pytest.mark.parametrize("outcome", [DONE, BROKEN])
def test_a_job_that_is_over_stays_as_it_is(
    store: Store, worker: Presence, outcome: Outcome
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, outcome)
    before = store.get("a")
    assert store.request_cancel("a") == before
    assert store.counters() == counted(store)
