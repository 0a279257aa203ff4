"""Testing: jobs in the tests of an app, run when the test says so.

Everything is real (the store, the arguments' way through JSON, the way a job is run, the rescue
of jobs whose worker died) but for the worker's threads and for time, which the test moves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from flask import Flask
from msgspec.structs import replace

from .clock import Clock
from .context import capturing_logs
from .engine.local.engine import LocalEngine
from .engine.local.letter import installation_of
from .engine.local.notices import Notices
from .errors import BackburnerError, JobFailed, JobInterrupted, JobReleased
from .extension import Backburner
from .files import FileFolder
from .installation import Installation
from .job import Job
from .record import Released
from .runner import run_job
from .running import Commit, RunningJob
from .settings import Settings
from .store.base import Presence
from .store.claim import Claim, Report, Settlement
from .store.liveness import FilePresence

ENDLESS = 10_000
PATIENCE = 60.0

Point = Literal["claim", "progress", "settle"]


class MovableClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self, now: float | None = None) -> None:
        self._now = time.time() if now is None else now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float | timedelta) -> None:
        """Let so much time pass: jobs that wait for their time become due, old ones forgotten."""
        passed = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if not passed >= 0:
            raise ValueError(f"The clock cannot go back, by {seconds!r}; give seconds, 0 or more.")
        self._now += passed


class JobBench:
    """The jobs of an app in a test: what the fixture ``backburner_jobs`` gives."""

    def __init__(self, installation: Installation, clock: MovableClock) -> None:
        self._installation = installation
        self.clock = clock

    def run(self, limit: int | None = None, *, check: bool = False) -> list[Job[Any]]:
        """As ``run_jobs``, for this app."""
        return _run(self._installation, limit, check=check)

    def crash(self, at: Point, calls: int = 1) -> Job[Any]:
        """As ``crash_worker``, for this app."""
        return _crash(self._installation, at, calls)


@pytest.fixture
def backburner_jobs(app: Flask, tmp_path: Path) -> Iterator[JobBench]:
    """The jobs of the app that your own fixture ``app`` gives, in a store of the test's own."""
    with isolated(app, tmp_path) as bench:
        yield bench


@contextmanager
def isolated(app: Flask, folder: Path | str) -> Iterator[JobBench]:
    """Give an app another store for a while: an empty one in ``folder``, with a movable clock.

    It is a file, so that no server is needed, and no worker is started. Afterwards the app has
    its own again, and nothing is left running.
    """
    installation = installation_of(app)
    installation.close()
    before = installation.settings, installation.files, installation.clock, installation.engine
    clock = installation.clock = MovableClock()
    installation.settings = _moved(installation.settings, Path(folder))
    installation.files = FileFolder(installation.settings.files)
    installation.engine = LocalEngine(installation)
    try:
        yield JobBench(installation, clock)
    finally:
        installation.close()
        (
            installation.settings,
            installation.files,
            installation.clock,
            installation.engine,
        ) = before


def _moved(settings: Settings, folder: Path) -> Settings:
    path = folder / "backburner.db"
    return replace(
        settings,
        path=str(path),
        redis=None,
        engine="local",
        broker=None,
        files=str(path) + ".files",
        worker="external",
        durability="normal",
    )


def run_jobs(
    app: Flask | Backburner, limit: int | None = None, *, check: bool = False
) -> list[Job[Any]]:
    """Run what is queued, here and now, in this thread; gives back the jobs that were run.

    Also what those jobs start, until nothing is due any more or ``limit`` jobs have run. Jobs
    of workers that died are taken up first. With ``check`` a job that failed raises
    ``JobFailed`` at once. A job that waits for another one would wait for ever.
    """
    return _run(_installation(app), limit, check=check)


def crash_worker(app: Flask | Backburner, at: Point, calls: int = 1) -> Job[Any]:
    """Let a worker take the next job and die: with that job in its hands.

    After the ``"claim"``, before the function is called; in the ``calls``-th ``"progress"``
    call of it; or before it can ``"settle"`` what the function has done. The job is left as a
    ``kill -9`` leaves it, but that the function's ``finally`` blocks run. The next
    ``run_jobs`` takes it up; after a crash it is due within half a second.
    """
    return _crash(_installation(app), at, calls)


def _installation(app: Flask | Backburner) -> Installation:
    if isinstance(app, Flask):
        return installation_of(app)
    return app._current("run_jobs()")


class _Death(JobReleased):
    """Ends the code of a job whose worker dies."""


class _DoomedJob(RunningJob):
    """A job whose worker dies in one of its progress calls."""

    __slots__ = ("left",)

    def __init__(self, claim: Claim, files: FileFolder, commit: Commit, calls: int) -> None:
        self.left = calls
        super().__init__(claim, files, commit)

    # Looked at by every progress call.
    @property
    def interrupt(self) -> type[JobInterrupted] | None:
        self.left -= 1
        return _Death if self.left <= 0 else None

    @interrupt.setter
    def interrupt(  # pyright: ignore[reportIncompatibleVariableOverride]  # set and read as one
        self, how: type[JobInterrupted] | None
    ) -> None:
        """Nothing else stops it."""


class _Worker:
    """A worker without threads, for one job at a time."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._store = installation.store
        self._presence: Presence = self._store.join()
        self._notices = Notices(installation)

    def rescue(self) -> None:
        """Take up the jobs of workers that died."""
        self._notices.rescued(self._store.rescue())

    def claim(self) -> Claim | None:
        """Take the job that is next in line, or one that must run alone, as all do here."""
        tasks = self._installation.known_tasks()
        for alone in (False, True):
            turn = self._store.turn(self._presence, room=1, tasks=tasks, alone=alone)
            if turn.claimed:
                return turn.claimed[0]
        return None

    def run(self, running: RunningJob) -> Settlement:
        """Run a job's function, as in a thread of its own."""
        self._presence.started(running.claim)
        self._notices.started(running.claim)
        with capturing_logs():
            outcome = Context().run(run_job, self._installation, running)
        return Settlement(running.claim, outcome)

    def perform(self, claim: Claim) -> Job[Any]:
        """Run a job and record how it ended."""
        running = RunningJob(claim, self._installation.files, self.report)
        settled = [self.run(running)]
        reports = [report] if (report := running.news()) else []
        turn = self._store.turn(self._presence, settled=settled, reports=reports)
        self._notices.recorded(settled, reports, turn.refused)
        return self.job(claim)

    def job(self, claim: Claim) -> Job[Any]:
        return Job(self._store.get(claim.id), self._installation)

    def report(self, report: Report) -> bool:
        """Record news of a job at once; false if they were refused."""
        return not self._store.turn(self._presence, reports=[report]).refused

    def give_back(self, claim: Claim) -> None:
        untouched = Settlement(claim, Released(started=False))
        self._store.turn(self._presence, settled=[untouched])

    def leave(self) -> None:
        """End as a worker does that was told to."""
        self._notices.close(PATIENCE)
        self._presence.leave()

    def die(self) -> None:
        """Let go of the lock and leave the rest, as the kernel does."""
        self._notices.close(PATIENCE)
        assert isinstance(self._presence, FilePresence)
        self._presence.forget()


def _run(installation: Installation, limit: int | None, *, check: bool) -> list[Job[Any]]:
    worker = _Worker(installation)
    done: list[Job[Any]] = []
    try:
        worker.rescue()
        while len(done) != limit and (claim := worker.claim()):
            if len(done) == ENDLESS:
                worker.give_back(claim)
                raise BackburnerError(
                    f"{ENDLESS} jobs were run and more are queued: they seem to start each other "
                    "without end. Give run_jobs() a limit to stop before."
                )
            done.append(worker.perform(claim))
            if check:
                _check(done[-1])
    finally:
        worker.leave()
    return done


def _check(job: Job[Any]) -> None:
    if job.error is None or not job.done:
        return
    failed = JobFailed(job.id, job.error.code, job.error.message)
    if job.error.traceback:
        failed.add_note(job.error.traceback)
    raise failed


def _crash(installation: Installation, at: Point, calls: int) -> Job[Any]:
    if at not in get_args(Point):
        raise ValueError(f"A worker cannot die at {at!r}, but at {' or '.join(get_args(Point))}.")
    worker = _Worker(installation)
    try:
        worker.rescue()
        claim = worker.claim()
        if claim is None:
            raise BackburnerError("No job is queued, so no worker can die of one. Start one first.")
        _die_at(worker, claim, installation.files, at, calls)
        return worker.job(claim)
    finally:
        worker.die()


def _die_at(worker: _Worker, claim: Claim, files: FileFolder, at: Point, calls: int) -> None:
    if at == "claim":
        return
    running = (
        _DoomedJob(claim, files, worker.report, calls)
        if at == "progress"
        else RunningJob(claim, files, worker.report)
    )
    worker.run(running)
    if report := running.news():
        worker.report(report)
    if isinstance(running, _DoomedJob) and running.left > 0:
        raise BackburnerError(
            f"The job {claim.id!r} ended before its progress call number {calls}, in which its "
            "worker was to die. Give crash_worker() a smaller number, or at='settle'."
        )
