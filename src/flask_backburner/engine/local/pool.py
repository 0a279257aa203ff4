"""Pool: jobs in a worker's hands, and what becomes of those that wait, run and are told."""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from ...errors import JobCancelled, JobInterrupted, JobReleased, JobTimedOut
from ...files import FileFolder
from ...record import Cancelled, Failed, Outcome, Released, Retry
from ...running import Commit, RunningJob
from ...store.claim import Claim, Report, Settlement

STOP_SECONDS = 5.0
"""So long a job that was told to stop may take; then it is overdue."""

logger = logging.getLogger("flask_backburner")


@dataclass(frozen=True)
class Means:
    """What a pool has from its worker; each may be called from any thread.

    ``begin`` notes that a claim's function is about to be called; false if it is held no more.
    ``commit`` records a report before it returns; false if it was refused. ``ring`` wakes the
    worker's loop. ``timeout`` is a task's, in seconds.
    """

    begin: Callable[[Claim], bool]
    commit: Commit
    ring: Callable[[], None]
    timeout: Callable[[str], float | None]
    files: FileFolder


class Pool(ABC):
    """Runs claimed jobs, ``size`` of them at a time.

    Its methods are called by the worker's loop only. What runs the jobs only calls ``_ended``,
    which may be called from any thread, so that nothing but queues is shared.
    """

    def __init__(self, size: int, means: Means) -> None:
        self.size = size
        self._means = means
        self._held: dict[RunningJob, None] = {}  # a set that keeps their order
        self._finished: deque[tuple[RunningJob, Outcome]] = deque()
        self._overdue: set[RunningJob] = set()

    @property
    def held(self) -> int:
        """How many jobs are in the worker's hands: waiting for their turn, running, finished."""
        return len(self._held)

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many of them wait for their turn: nothing of theirs was called yet."""

    @property
    def room(self) -> int:
        """How many more jobs the pool would take now."""
        return self.size - len(self._held)

    @property
    def vacant(self) -> bool:
        """Whether a job that is taken now runs at once."""
        return self.room > 0

    @property
    def news_waits(self) -> bool:
        """Whether any job has finished since ``settled`` was asked last."""
        return bool(self._finished)

    def take(self, claims: Iterable[Claim]) -> None:
        """Run these jobs as soon as there is room for each."""
        files, commit = self._means.files, self._means.commit
        for claim in claims:
            running = RunningJob(claim, files, commit)
            self._held[running] = None
            try:
                self._accept(running)
            except RuntimeError as error:
                logger.error("Job %s (%s) goes back in line: %s", claim.id, claim.task, error)
                self._ended(running, Released(started=False))

    @abstractmethod
    def _accept(self, running: RunningJob) -> None:
        """Put a job that was just taken in line, or raise ``RuntimeError``.

        As Python does when the system refuses another thread.
        """

    def _not_begun(self, running: RunningJob) -> Outcome | None:
        """Why the job is not to begin, if so; otherwise it is noted as begun."""
        how = running.interrupt
        if how is None:
            return None if self._means.begin(running.claim) else Released(started=False)
        return Cancelled() if issubclass(how, JobCancelled) else Released(started=False)

    def _excused(self, outcome: Outcome) -> Outcome:
        """At its end Python refuses new threads, which is not the job's fault."""
        if isinstance(outcome, (Failed, Retry)) and not threading.main_thread().is_alive():
            return Released()
        return outcome

    def _ended(self, running: RunningJob, outcome: Outcome) -> None:
        """A job's attempt is over. Callable from any thread; does not ring."""
        self._finished.append((running, outcome))

    def reports(self) -> list[Report]:
        """What is new of the jobs that run."""
        return [report for running in self._held if (report := running.news())]

    def settled(self) -> tuple[list[Settlement], list[Report]]:
        """The jobs that finished, and their last words."""
        settled, reports = [], []
        finished, held = self._finished, self._held
        while finished:
            running, outcome = finished.popleft()
            if running not in held:
                continue  # it was handed back meanwhile
            del held[running]
            if running.told_at and running in self._overdue:
                self._overdue.remove(running)
                self._came_back(running)
            settled.append(Settlement(running.claim, outcome))
            report = running.news()
            if report:
                reports.append(report)
        return settled, reports

    def interrupt(self, ids: Collection[str], how: type[JobInterrupted]) -> None:
        """Tell these jobs to stop; one that was told before is not told again."""
        if ids:
            for running in list(self._held):
                if running.claim.id in ids:
                    self._interrupt(running, how)

    def let_go(self, claims: Collection[Claim]) -> None:
        """Tell those of the jobs to stop whose claim is not this worker's any more."""
        if claims:
            for running in list(self._held):
                if running.claim in claims:
                    self._interrupt(running, JobReleased)

    def interrupt_all(self, how: type[JobInterrupted]) -> None:
        """Tell all to stop that were not told before."""
        for running in list(self._held):
            self._interrupt(running, how)

    def _interrupt(self, running: RunningJob, how: type[JobInterrupted]) -> None:
        if running.interrupt is None and not running.told_at:
            running.told_at = time.monotonic()
            self._tell(running, how)

    @abstractmethod
    def _tell(self, running: RunningJob, how: type[JobInterrupted]) -> None:
        """Tell a job to stop, for the first time: from now on ``running.interrupt`` is ``how``."""

    def enforce(self, now: float) -> list[Report]:
        """Tell the jobs whose time is up to stop, and report those that were told in vain.

        ``now`` is a monotonic time.
        """
        reports = []
        for running in list(self._held):
            if self._timed_out(running, now):
                self._interrupt(running, JobTimedOut)
            elif self._is_late(running, now):
                self._overdue.add(running)
                self._gone_astray(running)
                if running.interrupt is not JobReleased:
                    reports.append(Report(running.claim, overdue=True))
        return reports

    def _timed_out(self, running: RunningJob, now: float) -> bool:
        if not running.began_at or running.told_at:
            return False
        timeout = self._means.timeout(running.claim.task)
        return timeout is not None and now - running.began_at > timeout

    def _is_late(self, running: RunningJob, now: float) -> bool:
        if running.interrupt is None or not running.began_at:
            return False
        running.told_at = running.told_at or now  # a job may find out by itself
        return now - running.told_at > STOP_SECONDS and running not in self._overdue

    @abstractmethod
    def _gone_astray(self, running: RunningJob) -> None:
        """A job was told to stop ``STOP_SECONDS`` ago and has not; called once for each."""

    @abstractmethod
    def _came_back(self, running: RunningJob) -> None:
        """A job that had gone astray has ended after all."""

    def force(self) -> bool:
        """End jobs that were told to stop, where code can be ended; whether there are any."""
        return False

    @abstractmethod
    def hand_back_waiting(self) -> list[Settlement]:
        """Take the jobs that have not begun out of the line."""

    def _back_from(self, line: queue.SimpleQueue[RunningJob | None]) -> list[Settlement]:
        """Give up the jobs of a line; what tells its threads to end stays in it."""
        jobs, ends = [], 0
        while True:
            try:
                running = line.get_nowait()
            except queue.Empty:
                break
            if running is None:
                ends += 1
            else:
                jobs.append(running)
        for _ in range(ends):
            line.put(None)
        return [self._back_in_line(running) for running in jobs]

    def _back_in_line(self, running: RunningJob) -> Settlement:
        """Give up a job that has not begun."""
        del self._held[running]
        return Settlement(running.claim, Released(started=False))

    def hand_back_running(self) -> list[Settlement]:
        """Give up the jobs that run: they stop when they can, and nothing more is heard."""
        self.interrupt_all(JobReleased)
        back = [
            Settlement(running.claim, Released(started=bool(running.began_at)))
            for running in self._held
        ]
        self._held.clear()
        self._finished.clear()
        self._overdue.clear()
        return back

    @abstractmethod
    def close(self, patience: float) -> None:
        """End what the pool started, waiting so many seconds at most. Repeatable."""
