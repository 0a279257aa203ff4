"""Hands: the jobs that a process of Celery's runs, each in the thread that carries a token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ...errors import JobInterrupted
from ...installation import Installation
from ...record import Outcome
from ...runner import run_job, run_job_async
from ...running import RunningJob
from ...store.claim import Claim, Settlement
from ..local.pool import STOP_SECONDS, Means, Pool
from .roster import Seat

LEEWAY = 3.0
"""So many seconds after a process should have ended itself, others end it."""


class Hands(Pool):
    """Runs jobs in the calling threads.

    ``astray`` is called for a job that was told to stop and has not.
    """

    def __init__(
        self,
        installation: Installation,
        size: int,
        means: Means,
        seat: Seat,
        astray: Callable[[RunningJob], None],
    ) -> None:
        super().__init__(size, means)
        self._installation = installation
        self._seat = seat
        self._astray = astray
        self._claimed: dict[tuple[str, int], RunningJob] = {}
        self._loops: dict[RunningJob, tuple[asyncio.AbstractEventLoop, asyncio.Task[Outcome]]] = {}

    @property
    def waiting(self) -> int:
        return 0

    def _accept(self, running: RunningJob) -> None:
        # The thread that has claimed it runs it at once.
        self._claimed[running.claim.id, running.claim.fence] = running

    def holds(self, claim: Claim) -> bool:
        """Whether the job is not settled yet."""
        return any(running.claim == claim for running in list(self._held))

    def run(self, claim: Claim) -> None:
        """Run a job that was taken, in this thread."""
        running = self._claimed.pop((claim.id, claim.fence))
        timeout = self._means.timeout(claim.task)
        try:
            if timeout is not None:
                self._seat.note(claim, time.monotonic() + timeout + STOP_SECONDS + LEEWAY)
            outcome = self._not_begun(running) or self._excused(self._outcome(running))
            self._ended(running, outcome)
        finally:
            if timeout is not None:
                self._seat.clear()

    def _outcome(self, running: RunningJob) -> Outcome:
        definition = self._installation.tasks.get(running.claim.task)
        if definition is None or not definition.is_async:
            return run_job(self._installation, running)
        return asyncio.run(self._await(running))

    async def _await(self, running: RunningJob) -> Outcome:
        task = asyncio.ensure_future(run_job_async(self._installation, running))
        self._loops[running] = asyncio.get_running_loop(), task
        try:
            return await task
        finally:
            del self._loops[running]

    def _tell(self, running: RunningJob, how: type[JobInterrupted]) -> None:
        running.interrupt = how  # it looks at its next progress call
        loop, task = self._loops.get(running, (None, None))
        if loop is not None and task is not None:
            loop.call_soon_threadsafe(task.cancel)

    def _gone_astray(self, running: RunningJob) -> None:
        self._astray(running)

    def _came_back(self, running: RunningJob) -> None:
        """Its thread was never replaced."""

    def hand_back_waiting(self) -> list[Settlement]:
        return []

    def close(self, patience: float) -> None:
        """Nothing was started."""
