"""The contract of every store: jobs that crashed twice run alone."""

from __future__ import annotations

import pytest

from flask_backburner.record import Fault, Outcome, Released, Retry, State
from flask_backburner.store.base import Store
from support.stores import (
    Home,
    add,
    claim,
    crash,
    settle,
)


def test_a_job_that_crashed_twice_is_claimed_alone_only(home: Home, store: Store) -> None:
    add(store, "a")
    crash(home, store)
    crash(home, store)
    add(store, "b")
    worker = store.join()
    assert [each.id for each in claim(store, worker)] == ["b"]
    assert store.get("a").state is State.QUEUED
    (held,) = claim(store, worker, alone=True)
    assert (held.id, held.crashes) == ("a", 2)


def test_a_job_that_crashed_once_is_claimed_with_others_only(home: Home, store: Store) -> None:
    add(store, "a")
    crash(home, store)
    worker = store.join()
    assert claim(store, worker, alone=True) == []
    assert [(each.id, each.crashes) for each in claim(store, worker)] == [("a", 1)]


def suspects(home: Home, store: Store, *ids: str) -> None:
    """Add jobs that have crashed twice."""
    for id in ids:
        add(store, id, priority=9)
        crash(home, store)
        crash(home, store)


def test_of_jobs_to_run_alone_no_more_than_the_room_is_claimed(home: Home, store: Store) -> None:
    suspects(home, store, "a", "b", "c")
    worker = store.join()
    assert claim(store, worker, 0, alone=True) == []
    assert [each.id for each in claim(store, worker, 1, alone=True)] == ["a"]
    assert [each.id for each in claim(store, worker, 2, alone=True)] == ["b", "c"]


def test_jobs_to_run_alone_are_of_the_wanted_queues_and_tasks(home: Home, store: Store) -> None:
    suspects(home, store, "a")
    worker = store.join()
    assert claim(store, worker, queues=["mail"], alone=True) == []
    assert claim(store, worker, tasks=["other"], alone=True) == []
    assert [each.id for each in claim(store, worker, queues=["default"], alone=True)] == ["a"]


@pytest.mark.parametrize("outcome", [Released(), Released(False), Retry(Fault("error", "No"))])
def test_a_job_stays_suspicious_however_an_attempt_ends(
    home: Home, store: Store, outcome: Outcome
) -> None:
    suspects(home, store, "a")
    worker = store.join()
    (held,) = claim(store, worker, alone=True)
    settle(store, worker, held, outcome)
    assert claim(store, worker) == []
    assert [each.id for each in claim(store, worker, alone=True)] == ["a"]


def test_a_suspicious_job_can_be_cancelled(home: Home, store: Store) -> None:
    suspects(home, store, "a")
    assert store.request_cancel("a").state is State.CANCELLED
    assert claim(store, store.join(), alone=True) == []
