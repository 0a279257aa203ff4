"""ThreadPool: runs ordinary jobs in threads of the worker's process."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable

from ...codec.shown import show_error
from ...errors import JobInterrupted
from ...record import Failed, Fault, Outcome
from ...running import RunningJob, storable
from ...store.claim import Claim, Report, Settlement
from .pool import STOP_SECONDS, Means, Pool

AHEAD_SECONDS = 0.005
MOST_AHEAD = 1000

Run = Callable[[RunningJob], Outcome]

logger = logging.getLogger("flask_backburner")


class ThreadPool(Pool):
    """Runs claimed jobs in threads.

    A thread cannot be ended: while a job that was told to stop does not, another thread takes
    the place of its own, for at most ``size`` such jobs at a time.
    """

    def __init__(self, size: int, means: Means, run: Run) -> None:
        super().__init__(size, means)
        self._run = run
        self._pid = os.getpid()
        self._ring_below = 0
        self._ahead = 0
        self._judged_at = 0.0
        self._replaced: set[RunningJob] = set()
        # Looked up late: gevent puts queues of its own here, which let others run.
        self._line: queue.SimpleQueue[RunningJob | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        for _ in range(size):
            self._start_thread()

    def _start_thread(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(
            target=self._serve, name=f"backburner-job-{len(self._threads)}", daemon=True
        )
        thread.start()
        self._threads.append(thread)

    @property
    def waiting(self) -> int:
        return self._line.qsize()

    @property
    def room(self) -> int:
        return max(0, self._free + self._ahead)

    @property
    def vacant(self) -> bool:
        return self._free > 0

    @property
    def _free(self) -> int:
        return self.size + len(self._replaced) - self.held

    def take(self, claims: Iterable[Claim]) -> None:
        super().take(claims)
        # Early enough that the threads have work left while the loop fetches more.
        self._ring_below = self.waiting // 2

    def _accept(self, running: RunningJob) -> None:
        self._line.put(running)

    def settled(self) -> tuple[list[Settlement], list[Report]]:
        settled, reports = super().settled()
        self._judge_speed(len(settled))
        return settled, reports

    def _judge_speed(self, finished: int) -> None:
        """Take jobs ahead of the free threads only while they are short: some ms of work."""
        now = time.monotonic()
        passed, self._judged_at = now - self._judged_at, now
        saturated = finished >= self.size
        self._ahead = (
            min(MOST_AHEAD, int(finished / passed * AHEAD_SECONDS)) if saturated and passed else 0
        )

    def _serve(self) -> None:
        while (running := self._line.get()) is not None:
            try:
                outcome = self._not_begun(running) or self._excused(self._run(running))
            except BaseException as error:  # a thread outlives whatever the app's own code does
                outcome = Failed(Fault("error", storable(show_error(error))))
            if os.getpid() != self._pid:
                os._exit(0)  # a fork that the job made and left to run on: the job ends but once
            self._ended(running, outcome)
            if self._line.qsize() <= self._ring_below:
                self._means.ring()

    def _tell(self, running: RunningJob, how: type[JobInterrupted]) -> None:
        running.interrupt = how  # it looks at its next progress call

    def _gone_astray(self, running: RunningJob) -> None:
        if len(self._replaced) < self.size:
            self._start_thread()
            self._replaced.add(running)
            return
        logger.error(
            "Job %s (%s) was told to stop %.0f s ago and keeps its thread, and so do %d others: "
            "no other thread is started for it, so fewer jobs run. Call "
            "current_job.check_cancelled() in the task's loops, or make it "
            "@tasks.task(process=True), whose process can be ended.",
            running.claim.id,
            running.claim.task,
            STOP_SECONDS,
            len(self._replaced),
        )

    def _came_back(self, running: RunningJob) -> None:
        if running in self._replaced:
            self._replaced.remove(running)
            self._line.put(None)

    def hand_back_waiting(self) -> list[Settlement]:
        return self._back_from(self._line)

    def close(self, patience: float) -> None:
        """End the threads; one that is in a job ends with it, or with the process."""
        deadline = time.monotonic() + patience
        for _ in self._threads:
            self._line.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
