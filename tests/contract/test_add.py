"""The contract of every store: adding jobs."""

from __future__ import annotations

import pytest

from flask_backburner.clock import moment
from flask_backburner.errors import AliasTaken, JobNotFound, QueueFull
from flask_backburner.record import Progress, State
from flask_backburner.store.base import Presence, Store
from support.stores import KEEPING, NOON, FakeClock, add, claim, counted, finish, job


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


def test_a_job_is_found_by_its_callers_own_id(store: Store) -> None:
    store.add([job("a", alias="order-1"), job("b", alias="order-2"), job("c")], limit=3)
    assert [store.named("order-1"), store.named("order-2")] == ["a", "b"]
    for unknown in ("order-3", "a", ""):
        with pytest.raises(JobNotFound):
            store.named(unknown)


def test_an_id_of_the_callers_own_is_given_once(store: Store) -> None:
    store.add([job("a", alias="order-1")], limit=9)
    with pytest.raises(AliasTaken, match="There is a job with the id 'order-1' already") as taken:
        store.add([job("b"), job("c", alias="order-1"), job("d")], limit=9)
    assert taken.value.alias == "order-1"
    assert store.named("order-1") == "a"
    assert [record.id for record in store.find()] == ["a"]
    assert store.counters() == counted(store) == {("default", State.QUEUED): 1}


def test_one_id_of_the_callers_own_for_two_jobs_adds_none(store: Store) -> None:
    with pytest.raises(AliasTaken) as taken:
        store.add([job("a", alias="order-1"), job("b", alias="order-1")], limit=9)
    assert taken.value.alias == "order-1"
    assert store.find() == []
    assert store.counters() == {}
    add(store, "c", alias="order-1")
    assert store.named("order-1") == "c"


def test_an_id_of_the_callers_own_stays_taken_when_the_job_is_over(
    store: Store, worker: Presence
) -> None:
    finish(store, worker, "a", alias="order-1")
    with pytest.raises(AliasTaken):
        add(store, "b", alias="order-1")
    assert store.named("order-1") == "a"


def test_an_id_of_the_callers_own_is_free_when_its_job_is_forgotten(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    finish(store, worker, "a", alias="order-1")
    clock.move(KEEPING.done)
    store.purge(1)
    with pytest.raises(JobNotFound):
        store.named("order-1")
    add(store, "b", alias="order-1")
    assert store.named("order-1") == "b"


def test_a_job_tells_its_retries_and_until_when_it_must_begin(store: Store) -> None:
    (record,) = store.add([job("a", retries=3, start_by=NOON + 60)], limit=1)
    assert record == store.get("a")
    assert (record.retries, record.failures, record.retries_left) == (3, 0, 3)
    assert record.start_by == moment(NOON + 60)
    assert not record.overdue
