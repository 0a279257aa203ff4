"""Jobs in threads that are told to stop: by timeout or cancel, in time, too late, or never."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flask_backburner import current_job
from flask_backburner.engine.local.pool import STOP_SECONDS, Means
from flask_backburner.engine.local.threads import ThreadPool
from flask_backburner.engine.local.worker import Worker
from flask_backburner.errors import JobCancelled, JobReleased, JobTimedOut
from flask_backburner.files import FileFolder
from flask_backburner.record import Outcome, Succeeded
from flask_backburner.running import Bound, RunningJob
from flask_backburner.store.claim import Claim, Report
from flask_backburner.store.gate import Gate
from support.apps import Site, site_in, until_state
from support.waiting import until

PATIENCE = 60.0
LATE = 2 * STOP_SECONDS


class Room:
    """Threads whose jobs do not listen, each until the test lets it go."""

    def __init__(self, threads: int, timeout: float | None) -> None:
        self.begun: list[str] = []
        self.told: dict[str, type[BaseException] | None] = {}
        self.doors: dict[str, threading.Event] = {}
        means = Means(
            lambda claim: True,
            lambda report: True,
            lambda: None,
            lambda task: timeout,
            FileFolder("/none"),
        )
        self.pool = ThreadPool(threads, means, self._run)

    def _run(self, running: RunningJob) -> Outcome:
        running.began_at = time.monotonic()
        with Bound(running):
            self.begun.append(running.claim.id)
            self.doors[running.claim.id].wait(PATIENCE)
            self.told[running.claim.id] = running.interrupt
        return Succeeded(b"1")

    def take(self, *ids: str) -> list[Claim]:
        self.doors |= {id: threading.Event() for id in ids}
        claims = [Claim(id, 1, "task", "default", 1, b"") for id in ids]
        self.pool.take(claims)
        return claims

    def begins(self, *ids: str) -> None:
        until(lambda: set(ids) <= set(self.begun), PATIENCE)

    def end(self, *ids: str) -> None:
        """Let these jobs go and wait until the pool has them back."""
        for id in ids:
            self.doors[id].set()
        ended: list[str] = []
        until(
            lambda: (
                ended.extend(entry.claim.id for entry in self.pool.settled()[0])
                or set(ids) <= set(ended)
            ),
            PATIENCE,
        )
        self.pool.settled()  # nothing more has ended, so no jobs are taken ahead

    def close(self) -> None:
        for door in self.doors.values():
            door.set()
        self.pool.close(PATIENCE)


@pytest.fixture
def make_room() -> Iterator[Callable[..., Room]]:
    rooms: list[Room] = []

    def make(threads: int = 1, timeout: float | None = None) -> Room:
        rooms.append(Room(threads, timeout))
        return rooms[-1]

    yield make
    for room in rooms:
        room.close()


def test_a_job_is_told_when_its_time_is_up_and_not_before(make_room: Callable[..., Room]) -> None:
    room = make_room(timeout=3600.0)
    room.take("a")
    room.begins("a")
    now = time.monotonic()
    assert room.pool.enforce(now + 3000) == []
    assert room.pool.enforce(now + 3700) == []
    room.end("a")
    assert room.told == {"a": JobTimedOut}


def test_the_time_before_a_job_begins_is_not_its_own(make_room: Callable[..., Room]) -> None:
    room = make_room(timeout=3600.0)
    room.take("a", "b")
    room.begins("a")
    room.pool.enforce(time.monotonic() + 3700)
    room.end("a")
    room.begins("b")
    room.end("b")
    assert room.told == {"a": JobTimedOut, "b": None}


def test_a_job_without_a_timeout_may_take_for_ever(make_room: Callable[..., Room]) -> None:
    room = make_room()
    room.take("a")
    room.begins("a")
    assert room.pool.enforce(time.monotonic() + 1e9) == []
    room.end("a")
    assert room.told == {"a": None}


def test_a_job_that_was_told_in_vain_is_reported_once(make_room: Callable[..., Room]) -> None:
    room = make_room()
    (claim,) = room.take("a")
    room.begins("a")
    room.pool.interrupt(["a"], JobCancelled)
    now = time.monotonic()
    assert room.pool.enforce(now) == []
    assert room.pool.enforce(now + LATE) == [Report(claim, overdue=True)]
    assert room.pool.enforce(now + 2 * LATE) == []


def test_a_job_that_is_another_workers_by_now_is_not_reported_but_loses_its_thread_too(
    make_room: Callable[..., Room],
) -> None:
    room = make_room()
    claims = room.take("a", "b")
    room.begins("a")
    room.pool.let_go(claims[:1])
    assert room.pool.enforce(time.monotonic() + LATE) == []
    room.begins("b")
    room.end("a", "b")
    assert room.told == {"a": JobReleased, "b": None}


def test_another_thread_takes_the_place_of_one_that_does_not_stop(
    make_room: Callable[..., Room],
) -> None:
    room = make_room()
    room.take("stuck", "next")
    room.begins("stuck")
    assert (room.pool.vacant, room.pool.waiting) == (False, 1)
    room.pool.interrupt(["stuck"], JobCancelled)
    room.pool.enforce(time.monotonic() + LATE)
    room.begins("next")
    assert room.begun == ["stuck", "next"]
    room.end("next")
    assert (room.pool.vacant, room.pool.room, room.pool.held) == (True, 1, 1)


def test_when_the_stuck_job_ends_there_are_as_many_threads_as_before(
    make_room: Callable[..., Room],
) -> None:
    room = make_room()
    room.take("stuck")
    room.begins("stuck")
    room.pool.interrupt(["stuck"], JobCancelled)
    room.pool.enforce(time.monotonic() + LATE)
    assert _threads() == 2
    room.end("stuck")
    until(lambda: _threads() == 1, PATIENCE)
    assert (room.pool.room, room.pool.held) == (1, 0)
    room.take("last")
    room.begins("last")
    room.end("last")


def _threads() -> int:
    return sum(thread.name.startswith("backburner-job") for thread in threading.enumerate())


def test_no_more_threads_are_replaced_than_there_are_and_that_is_said(
    make_room: Callable[..., Room], caplog: pytest.LogCaptureFixture
) -> None:
    room = make_room(threads=2)
    ids = ["a", "b", "c"]
    for id in ids:
        room.take(id)
        room.begins(id)
        room.pool.interrupt([id], JobCancelled)
        assert caplog.text == ""
        room.pool.enforce(time.monotonic() + LATE)
    assert "Job c (task) was told to stop 5 s ago and keeps its thread, and so do 2 others" in (
        caplog.text
    )
    assert "current_job.check_cancelled()" in caplog.text
    assert (_threads(), room.pool.held, room.pool.room) == (4, 3, 1)
    room.end(*ids)
    until(lambda: _threads() == 2, PATIENCE)
    assert room.pool.room == 2


# With an app, a store and a worker


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path, BACKBURNER_THREADS=1) as site, site.app.app_context():
        yield site


def test_a_job_beyond_its_timeout_fails_at_its_next_progress_call(site: Site) -> None:
    @site.tasks.task(name="busy", timeout=0.2)
    def busy() -> None:
        until(lambda: current_job.progress(1), PATIENCE)

    job = busy.delay()
    with site.working():
        until_state(job, "failed")
    assert job.error is not None
    assert (job.error.code, job.attempt) == ("timeout", 1)


def test_a_time_is_up_also_while_nothing_can_be_written(site: Site) -> None:
    told = threading.Event()

    @site.tasks.task(name="busy", timeout=1.0)
    def busy() -> None:
        count = itertools.count()
        try:
            until(lambda: current_job.progress(next(count)), PATIENCE)
        finally:
            told.set()

    job = busy.delay()
    with site.working():
        until(lambda: job.refresh().progress.current, PATIENCE)
        with shut_out(site):
            assert told.wait(PATIENCE)
        until_state(job, "failed")
    assert job.error is not None
    assert job.error.code == "timeout"


@contextmanager
def shut_out(site: Site) -> Iterator[None]:
    """Keep all writers from the site's store."""
    gate = Gate(site.tasks.installation(site.app).settings.path + ".gate")
    with gate.held():
        yield
    gate.close()


def test_a_timeout_counts_as_a_failure_and_is_retried(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    @site.tasks.task(name="busy", timeout=0.2, retries=1, backoff=0)
    def busy() -> int:
        until(lambda: current_job.attempt == 2 or current_job.progress(1), PATIENCE)
        return current_job.attempt

    job = busy.delay()
    with site.working():
        assert until_state(job, "succeeded").result == 2
    assert (
        f"Job {job.id} (busy) ran for longer than its timeout of 0.2 s in attempt 1 and is tried "
        "again in 0.0 s"
    ) in caplog.text


def test_a_job_that_ends_although_its_time_was_up_has_succeeded(site: Site) -> None:
    let_go = threading.Event()

    @site.tasks.task(name="deaf", timeout=0.1)
    def deaf() -> bool:
        return let_go.wait(PATIENCE)

    job = deaf.delay()
    with site.working():
        until_state(job, "running")
        let_go.set()
        assert until_state(job, "succeeded").result is True


def test_a_job_that_does_not_stop_is_shown_as_overdue_and_keeps_nobody_waiting(
    site: Site,
) -> None:
    let_go = threading.Event()

    @site.tasks.task(name="deaf")
    def deaf() -> None:
        let_go.wait(PATIENCE)
        current_job.check_cancelled()

    @site.tasks.task(name="quick")
    def quick() -> str:
        return "done"

    worker = Worker(site.tasks.installation(site.app), threads=1)
    thread = threading.Thread(target=worker.run)
    thread.start()
    job = deaf.delay()
    until_state(job, "running").cancel()
    other = quick.delay()
    until(lambda: job.refresh().record.overdue, PATIENCE)
    until_state(other, "succeeded")
    assert (job.refresh().state, job.record.cancel_requested) == ("running", True)
    let_go.set()
    assert until_state(job, "cancelled").record.overdue is False
    worker.stop(0.0)
    thread.join()
