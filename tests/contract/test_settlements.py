"""The contract of every store: what is recorded of the jobs that a worker holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_backburner.clock import moment
from flask_backburner.record import (
    Cancelled,
    Crashed,
    Fault,
    Outcome,
    Progress,
    Released,
    ResultKind,
    Retry,
    State,
)
from flask_backburner.store.base import Presence, Store
from flask_backburner.store.claim import (
    Claim,
    Report,
    Settlement,
    Turn,
)
from support.stores import (
    AGAIN,
    BROKEN,
    DONE,
    ENDS,
    KEEPING,
    NOON,
    FakeClock,
    add,
    claim,
    counted,
    lines,
    settle,
)


def test_a_report_raises_the_version(store: Store, worker: Presence, clock: FakeClock) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    clock.move(1)
    store.turn(worker, reports=[Report(held, Progress(1, 4, "Reading", None))])
    record = store.get("a")
    assert record.progress == Progress(1, 4, "Reading")
    assert (record.version, record.progressed_at) == (3, moment(NOON + 1))


def test_whole_numbers_and_fractions_of_progress_stay_what_they_are(
    store: Store, worker: Presence
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.turn(worker, reports=[Report(held, Progress(3, 4.5))])
    assert repr(store.get("a").progress.current) == "3"
    assert repr(store.get("a").progress.total) == "4.5"


@pytest.mark.parametrize(
    ("outcome", "state", "kept"),
    [
        (DONE, State.SUCCEEDED, KEEPING.done),
        (BROKEN, State.FAILED, KEEPING.failed),
        (Cancelled(), State.CANCELLED, KEEPING.done),
    ],
)
def test_a_settled_job_is_over(
    store: Store, worker: Presence, clock: FakeClock, outcome: Outcome, state: State, kept: float
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    clock.move(2)
    assert settle(store, worker, held, outcome) == []
    record = store.get("a")
    assert (record.state, record.version, record.worker) == (state, 3, worker.worker)
    assert record.finished_at == record.updated_at == moment(NOON + 2)
    assert record.kept_until == moment(NOON + 2 + kept)


def test_a_failed_job_says_why(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, BROKEN)
    assert store.get("a").fault == Fault("error", "It broke.", True, "line 1")


def test_reports_come_before_settlements(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    turn = store.turn(
        worker, settled=[Settlement(held, DONE)], reports=[Report(held, Progress(9, 9))]
    )
    assert turn.refused == ()
    assert store.get("a").progress == Progress(9, 9)
    assert store.get("a").state is State.SUCCEEDED


def test_a_turn_settles_and_claims_together(store: Store, worker: Presence) -> None:
    add(store, "a", "b")
    (held,) = claim(store, worker, 1)
    turn = store.turn(worker, settled=[Settlement(held, Released())], room=2, tasks=["task"])
    assert [(each.id, each.fence) for each in turn.claimed] == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("outcome", ENDS)
def test_a_repeat_is_refused_and_changes_nothing(
    store: Store, worker: Presence, outcome: Outcome
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, outcome)
    before = store.get("a")
    assert settle(store, worker, held, outcome) == [held]
    turn = store.turn(worker, reports=[Report(held, Progress(5, 5), lines("late"))])
    assert turn.refused == (held,)
    assert (store.get("a"), store.lines("a")) == (before, [])
    assert store.counters() == counted(store)


@pytest.mark.parametrize("outcome", ENDS)
def test_a_repeat_within_a_turn_is_refused(
    store: Store, worker: Presence, outcome: Outcome
) -> None:
    add(store, "a", "b")
    first, second = claim(store, worker)
    entries = [Settlement(first, outcome), Settlement(first, outcome), Settlement(second, DONE)]
    assert store.turn(worker, settled=entries).refused == (first,)
    assert store.get("b").state is State.SUCCEEDED
    assert store.counters() == counted(store)


@pytest.mark.parametrize("outcome", ENDS)
def test_a_stale_fence_is_refused_and_changes_nothing(
    store: Store, worker: Presence, another: Callable[[], Store], outcome: Outcome
) -> None:
    add(store, "a", "b")
    stale, good = claim(store, worker)
    settle(store, worker, stale, Released())
    other = another()
    (current,) = claim(other, other.join())
    before = store.get("a")
    turn = store.turn(
        worker,
        settled=[Settlement(stale, outcome), Settlement(good, DONE)],
        reports=[Report(stale, Progress(1, 1), lines("stale"))],
    )
    assert turn.refused == (stale, stale)
    assert (store.get("a"), store.lines("a"), store.result("a")) == (before, [], None)
    assert store.get("b").state is State.SUCCEEDED
    assert settle(other, worker, current, DONE) == []
    assert store.result("a") == (ResultKind.VALUE, b"1")


def test_what_is_no_job_is_refused(store: Store, worker: Presence) -> None:
    nothing = Claim("nope", 1, "task", "default", 1, b"")
    assert settle(store, worker, nothing, DONE) == [nothing]
    assert store.counters() == {}


def test_a_job_handed_back_is_queued_at_once(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", run_at=NOON - 5)
    (held,) = claim(store, worker)
    clock.move(3)
    settle(store, worker, held, Released())
    record = store.get("a")
    assert (record.state, record.attempt, record.crashes) == (State.QUEUED, 1, 0)
    assert (record.run_at, record.worker, record.started_at) == (moment(NOON + 3), None, None)
    assert claim(store, worker)[0].attempt == 2


def test_a_job_handed_back_unstarted_keeps_its_attempt(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, Released(started=False))
    assert (store.get("a").state, store.get("a").attempt) == (State.QUEUED, 0)
    assert claim(store, worker) == [Claim("a", 2, "task", "default", 1, b"[]")]


@pytest.mark.parametrize(
    "outcome", [Released(), Released(started=False), Cancelled(), Crashed(), AGAIN]
)
def test_a_job_handed_back_after_a_cancel_is_cancelled(
    store: Store, worker: Presence, outcome: Outcome
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.request_cancel("a")
    settle(store, worker, held, outcome)
    assert store.get("a").state is State.CANCELLED
    assert store.get("a").finished_at == moment(NOON)


def test_a_job_that_ends_in_spite_of_a_cancel_has_succeeded(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.request_cancel("a")
    settle(store, worker, held, DONE)
    assert (store.get("a").state, store.get("a").cancel_requested) == (State.SUCCEEDED, True)


def test_an_idle_turn_is_empty(store: Store, worker: Presence) -> None:
    assert store.turn(worker, room=4, tasks=["task"]) == Turn()


def test_a_job_that_does_not_stop_is_overdue(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    assert not store.get("a").overdue
    store.turn(worker, reports=[Report(held, overdue=True)])
    record = store.get("a")
    assert (record.overdue, record.state, record.version) == (True, State.RUNNING, 3)
    store.turn(worker, reports=[Report(held, Progress(1, 2))])
    assert store.get("a").overdue


@pytest.mark.parametrize(
    "outcome", [DONE, BROKEN, Cancelled(), Released(), Retry(Fault("timeout", "No")), Crashed()]
)
def test_a_job_that_has_stopped_is_overdue_no_more(
    store: Store, worker: Presence, outcome: Outcome
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.turn(worker, reports=[Report(held, overdue=True)])
    settle(store, worker, held, outcome)
    assert not store.get("a").overdue


def test_whoever_holds_a_claim_may_speak_for_it(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    turn = store.turn(None, reports=[Report(held, Progress(1, 2), lines("hello"))])
    assert turn == Turn()
    assert store.get("a").progress == Progress(1, 2)
    assert settle(store, None, held, DONE) == []
    assert store.get("a").state is State.SUCCEEDED
    assert settle(store, worker, held, DONE) == [held]


def test_who_holds_a_stale_claim_may_not(store: Store, worker: Presence) -> None:
    add(store, "a")
    (stale,) = claim(store, worker)
    settle(store, None, stale, Released())
    claim(store, worker)
    before = store.get("a")
    assert settle(store, None, stale, DONE) == [stale]
    report = Report(stale, Progress(1, 1), saved=(("value:x", b"1"),))
    assert store.turn(None, reports=[report]).refused == (stale,)
    assert store.get("a") == before
    assert store.saved("a") == {}


def test_without_a_presence_nothing_is_claimed(store: Store) -> None:
    add(store, "a")
    assert store.turn(None, room=5, tasks=["task"]) == Turn()
    assert store.get("a").state is State.QUEUED
