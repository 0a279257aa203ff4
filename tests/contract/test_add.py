"""The contract of every store: adding jobs."""

from __future__ import annotations

import pytest

from flask_backburner.clock import moment
from flask_backburner.errors import QueueFull
from flask_backburner.record import Progress, State
from flask_backburner.store.base import Presence, Store
from support.stores import NOON, FakeClock, add, claim, job


def test_an_added_job_is_queued(store: Store) -> None:
    (record,) = store.add([job("a", queue="mail", priority=3, owner="ann")], limit=1)
    assert record == store.get("a")
    assert (record.id, record.task, record.queue, record.priority, record.owner) == (
        "a",
        "task",
        "mail",
        3,
        "ann",
    )
    assert (record.state, record.version, record.fence, record.attempt, record.crashes) == (
        State.QUEUED,
        1,
        0,
        0,
        0,
    )
    assert record.created_at == record.run_at == record.updated_at == moment(NOON)
    assert (record.started_at, record.finished_at, record.kept_until) == (None, None, None)
    assert (record.progress, record.fault, record.worker) == (Progress(), None, None)
    assert not record.cancel_requested


def test_jobs_are_added_all_or_none(store: Store) -> None:
    add(store, "a", "b")
    with pytest.raises(QueueFull) as full:
        store.add([job("c"), job("d")], limit=3)
    assert (full.value.queued, full.value.limit) == (2, 3)
    assert [record.id for record in store.find()] == ["b", "a"]
    assert store.counters() == {("default", State.QUEUED): 2}


def test_only_queued_jobs_count_towards_the_limit(store: Store, worker: Presence) -> None:
    add(store, "a", "b")
    claim(store, worker, 1)
    store.add([job("c")], limit=2)
    with pytest.raises(QueueFull, match="2 jobs are queued and BACKBURNER_MAX_QUEUED allows 2"):
        store.add([job("d")], limit=2)


def test_adding_nothing_adds_nothing(store: Store) -> None:
    assert store.add([], limit=0) == []
    assert store.find() == []


def test_a_job_with_a_time_waits_for_it(store: Store, worker: Presence, clock: FakeClock) -> None:
    (record,) = store.add([job("a", run_at=NOON + 10)], limit=1)
    assert record.run_at == moment(NOON + 10)
    clock.move(9.9)
    assert claim(store, worker) == []
    clock.move(0.1)
    assert [each.id for each in claim(store, worker)] == ["a"]


def test_a_job_whose_time_is_past_may_run_at_once(store: Store, worker: Presence) -> None:
    add(store, "a", run_at=NOON - 10)
    assert [each.id for each in claim(store, worker)] == ["a"]
