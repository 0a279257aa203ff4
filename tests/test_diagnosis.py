"""How long a queued job has to wait, estimated from what runs and what ran."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_backburner.record import Progress, Succeeded
from flask_backburner.store.base import Presence
from flask_backburner.store.claim import Claim, Report, Settlement
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import FakeClock, job

TASKS = ("short", "long")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[SQLiteStore]:
    store = SQLiteStore(str(tmp_path / "jobs.db"), "app", durable=False, clock=clock)
    yield store
    store.close()


@pytest.fixture
def worker(store: SQLiteStore) -> Iterator[Presence]:
    """A worker with two threads."""
    worker = store.join(2)
    yield worker
    worker.leave()


def start(store: SQLiteStore, task: str, *ids: str) -> None:
    store.add([job(id, task=task) for id in ids], limit=1000)


def claim(store: SQLiteStore, worker: Presence, room: int) -> list[Claim]:
    return list(store.turn(worker, room=room, tasks=TASKS).claimed)


def has_run(store: SQLiteStore, worker: Presence, clock: FakeClock, task: str, took: float) -> None:
    """A job of the task has run for so many seconds."""
    start(store, task, f"past-{task}")
    (held,) = claim(store, worker, 1)
    clock.move(took)
    store.turn(worker, settled=[Settlement(held, Succeeded(b"1"))])


def estimate(store: SQLiteStore, id: str) -> float | None:
    waiting = store.waiting(id)
    assert waiting is not None
    return waiting.estimate


def test_with_a_free_thread_a_job_starts_at_once(store: SQLiteStore, worker: Presence) -> None:
    start(store, "long", "a", "b")
    claim(store, worker, 1)
    assert estimate(store, "b") == 0.0


def test_a_running_job_is_judged_by_its_progress(
    store: SQLiteStore, worker: Presence, clock: FakeClock
) -> None:
    start(store, "long", "a", "b", "c")
    first, second = claim(store, worker, 2)
    clock.move(10)
    store.turn(
        worker, reports=[Report(first, Progress(1, 4)), Report(second, Progress(1, 2))], room=0
    )
    assert estimate(store, "c") == 10.0  # the second is half done after 10 s
    clock.move(4)
    assert estimate(store, "c") == 6.0


def test_a_running_job_without_progress_is_judged_by_its_task(
    store: SQLiteStore, worker: Presence, clock: FakeClock
) -> None:
    has_run(store, worker, clock, "long", 30)
    has_run(store, worker, clock, "short", 1)
    start(store, "long", "a", "b", "c")
    claim(store, worker, 2)
    clock.move(5)
    assert estimate(store, "c") == 25.0


def test_further_back_each_job_before_takes_its_share(
    store: SQLiteStore, worker: Presence, clock: FakeClock
) -> None:
    has_run(store, worker, clock, "long", 30)
    start(store, "long", "a", "b", "c", "d", "e", "f")
    claim(store, worker, 2)
    assert estimate(store, "d") == 30.0
    assert estimate(store, "e") == 30.0 + 30.0 / 2
    assert estimate(store, "f") == 30.0 + 2 * 30.0 / 2


def test_what_nobody_can_know_is_not_estimated(store: SQLiteStore, worker: Presence) -> None:
    start(store, "long", "a", "b", "c", "d", "e")
    assert estimate(store, "c") is None  # nothing runs yet, and nothing ever ran
    claim(store, worker, 2)
    assert estimate(store, "c") is None
    assert estimate(store, "e") is None
