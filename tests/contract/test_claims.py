"""The contract of every store: who claims what, and when."""

from __future__ import annotations

from collections.abc import Callable

from flask_backburner.clock import moment
from flask_backburner.record import Progress, Released, State
from flask_backburner.store.base import Presence, Store
from flask_backburner.store.claim import Claim, Report
from support.stores import NOON, FakeClock, add, claim, job, settle


def test_a_claimed_job_runs_under_its_worker(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    clock.move(1)
    assert claim(store, worker) == [Claim("a", 1, "task", "default", 1, b"[]")]
    record = store.get("a")
    assert (record.state, record.version, record.fence, record.attempt) == (State.RUNNING, 2, 1, 1)
    assert record.worker == worker.worker
    assert record.started_at == record.updated_at == moment(NOON + 1)


def test_the_higher_priority_runs_first_and_of_equals_the_older(
    store: Store, worker: Presence
) -> None:
    add(store, "a", "b", queue="one")
    add(store, "c", queue="two", priority=5)
    add(store, "d", queue="one", priority=-5)
    add(store, "e", queue="two")
    add(store, "f", queue="one", priority=5)
    assert [each.id for each in claim(store, worker)] == ["c", "f", "a", "b", "e", "d"]


def test_order_holds_over_turns_with_little_room(store: Store, worker: Presence) -> None:
    add(store, "a", "b", "c")
    add(store, "d", priority=1)
    order = [claim(store, worker, 1)[0].id for _ in range(4)]
    assert order == ["d", "a", "b", "c"]


def test_a_job_that_waited_for_its_time_stands_where_it_was_added(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", run_at=NOON + 5)
    add(store, "b")
    clock.move(5)
    assert [each.id for each in claim(store, worker)] == ["a", "b"]


def test_a_job_whose_time_has_not_come_is_not_claimed_beside_others(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "later", run_at=NOON + 10, priority=9)
    add(store, "soon", run_at=NOON + 5)
    add(store, "now")
    assert [each.id for each in claim(store, worker)] == ["now"]
    clock.move(5)
    assert [each.id for each in claim(store, worker)] == ["soon"]
    assert claim(store, worker) == []


def test_no_more_than_the_room_is_claimed(store: Store, worker: Presence) -> None:
    add(store, "a", "b", "c")
    assert claim(store, worker, 0) == []
    assert claim(store, worker, -1) == []
    assert len(claim(store, worker, 2)) == 2
    assert len(claim(store, worker, 2)) == 1


def test_only_the_wanted_queues_are_served(store: Store, worker: Presence) -> None:
    add(store, "a", queue="one")
    add(store, "b", queue="two")
    assert claim(store, worker, queues=[]) == []
    assert claim(store, worker, queues=["three"]) == []
    assert [each.id for each in claim(store, worker, queues=["two", "three"])] == ["b"]
    assert [each.id for each in claim(store, worker, queues=None)] == ["a"]


def test_work_in_a_great_many_queues_is_found(store: Store, worker: Presence) -> None:
    store.add([job(f"j{n}", queue=f"q{n}", priority=n) for n in range(1200)], limit=1200)
    assert [each.id for each in claim(store, worker, 3)] == ["j1199", "j1198", "j1197"]


def test_an_unknown_task_is_never_claimed(store: Store, worker: Presence) -> None:
    add(store, "a", task="tomorrow", priority=9)
    add(store, "b")
    assert [each.id for each in claim(store, worker)] == ["b"]
    assert claim(store, worker, tasks=()) == []
    assert store.get("a").state is State.QUEUED


def test_a_star_stands_for_all_tasks_that_begin_so(store: Store, worker: Presence) -> None:
    add(store, "a", task="app.jobs:one")
    add(store, "b", task="app_x")
    add(store, "c", task="task")
    assert [each.id for each in claim(store, worker, tasks=["app.*"])] == ["a"]
    assert [each.id for each in claim(store, worker, tasks=["app*", "task"])] == ["b", "c"]


def test_a_job_is_claimed_by_one_worker_only(
    store: Store, worker: Presence, another: Callable[[], Store]
) -> None:
    add(store, "a")
    other = another()
    assert len(claim(store, worker)) == 1
    assert claim(other, other.join()) == []


def test_the_fence_rises_with_every_claim(store: Store, worker: Presence) -> None:
    add(store, "a")
    fences = []
    for started in (True, False, True):
        (held,) = claim(store, worker)
        fences.append(held.fence)
        settle(store, worker, held, Released(started))
    assert fences == [1, 2, 3]


def test_a_claim_begins_with_no_progress(store: Store, worker: Presence) -> None:
    add(store, "a")
    (first,) = claim(store, worker)
    store.turn(worker, reports=[Report(first, Progress(1, 2, "half", "phase"))])
    settle(store, worker, first, Released())
    assert store.get("a").progress == Progress(1, 2, "half", "phase")
    claim(store, worker)
    assert store.get("a").progress == Progress()
    assert store.get("a").progressed_at is None
