"""The contract of every store: jobs that other code drives."""

from __future__ import annotations

import pytest

from flask_backburner.clock import moment
from flask_backburner.record import Cancelled, Outcome, Progress, Released, State
from flask_backburner.store.base import Presence, Store
from flask_backburner.store.claim import Report
from support.stores import BROKEN, DONE, NOON, FakeClock, add, claim, counted, driven, lines, settle


def test_an_external_job_is_never_claimed_or_rescued(store: Store, worker: Presence) -> None:
    add(store, "a", external=True)
    assert claim(store, worker) == []
    store.turn(worker, reports=[Report(driven("a"), Progress(1, 2))])
    assert len(store.rescue()) == 0
    record = store.get("a")
    assert (record.state, record.fence, record.attempt, record.worker) == (
        State.RUNNING,
        0,
        1,
        None,
    )
    assert record.external
    assert record.started_at == moment(NOON)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(DONE, State.SUCCEEDED), (BROKEN, State.FAILED), (Cancelled(), State.CANCELLED)],
)
def test_an_external_job_ends_once(
    store: Store, worker: Presence, outcome: Outcome, state: State
) -> None:
    add(store, "a", external=True)
    assert settle(store, worker, driven("a"), outcome) == []
    record = store.get("a")
    assert (record.state, record.version, record.attempt) == (state, 3, 1)
    assert settle(store, worker, driven("a"), outcome) == [driven("a")]
    assert store.get("a") == record
    assert store.counters() == counted(store)


def test_an_external_job_handed_back_is_claimed_by_nobody(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", external=True)
    settle(store, worker, driven("a"), Released())
    clock.move(1)
    assert store.get("a").state is State.QUEUED
    assert claim(store, worker) == []


def test_an_external_job_that_falls_silent_is_lost(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", external=True, deadline=10.0)
    clock.move(9)
    store.turn(worker, reports=[Report(driven("a"), lines=lines("still here"))])
    clock.move(9)
    assert len(store.rescue()) == 0
    clock.move(1)
    assert len(store.rescue()) == 1
    record = store.get("a")
    assert record.state is State.FAILED
    assert record.fault is not None
    assert record.fault.code == "lost"
    assert store.counters() == counted(store)


@pytest.mark.parametrize("outcome", [DONE, BROKEN, Cancelled()])
def test_an_external_job_that_is_over_may_be_silent(
    store: Store, clock: FakeClock, outcome: Outcome
) -> None:
    add(store, "a", external=True, deadline=10.0)
    settle(store, None, driven("a"), outcome)
    before = store.get("a")
    clock.move(11)
    assert store.rescue() == []
    assert store.get("a") == before
