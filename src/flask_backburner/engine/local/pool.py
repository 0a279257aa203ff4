"""The threads of a worker, and the jobs in its hands."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from ...codec.shown import show_error
from ...context import RunningJob, storable
from ...errors import JobCancelled, JobInterrupted, JobReleased
from ...files import FileFolder
from ...record import Cancelled, Failed, Fault, Outcome, Released
from ...store.base import Claim, Report, Settlement

Run = Callable[[RunningJob], Outcome]
Begin = Callable[[Claim], bool]


class ThreadPool:
    """Runs claimed jobs in threads.

    All but the threads' own work is done by the worker's loop, so that only a queue in and a
    queue out are shared.
    """

    def __init__(
        self, threads: int, run: Run, begin: Begin, ring: Callable[[], None], files: FileFolder
    ) -> None:
        self.size = threads
        self._run = run
        self._begin = begin
        self._ring = ring
        self._files = files
        self._ring_below = 0
        self._held: dict[str, RunningJob] = {}
        # Looked up late: gevent puts queues of its own here, which let others run.
        self._waiting: queue.SimpleQueue[RunningJob | None] = queue.SimpleQueue()
        self._finished: deque[tuple[RunningJob, Outcome]] = deque()
        self._threads = [
            threading.Thread(target=self._serve, name=f"backburner-job-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def held(self) -> int:
        """How many jobs are in the worker's hands: waiting for a thread, running, finished."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many of them wait for a thread."""
        return self._waiting.qsize()

    @property
    def news_waits(self) -> bool:
        """Whether any job has finished since ``settled`` was asked last."""
        return bool(self._finished)

    def take(self, claims: Iterable[Claim]) -> None:
        """Run these jobs as soon as there is a thread for each."""
        for claim in claims:
            running = self._held[claim.id] = RunningJob(claim, self._files)
            self._waiting.put(running)
        # Early enough that the threads have work left while the loop fetches more.
        self._ring_below = self.waiting // 2

    def _serve(self) -> None:
        while (running := self._waiting.get()) is not None:
            try:
                outcome = self._outcome(running)
            except BaseException as error:  # a thread outlives whatever the app's own code does
                outcome = Failed(Fault("error", storable(show_error(error))))
            self._finished.append((running, outcome))
            if self._waiting.qsize() <= self._ring_below:
                self._ring()

    def _outcome(self, running: RunningJob) -> Outcome:
        if running.interrupt is JobCancelled:
            return Cancelled()
        if running.interrupt is JobReleased or not self._begin(running.claim):
            return Released(started=False)
        return self._run(running)

    def reports(self) -> list[Report]:
        """What is new of the jobs that run."""
        return [report for running in self._held.values() if (report := running.news())]

    def settled(self) -> tuple[list[Settlement], list[Report]]:
        """The jobs that finished, and their last words."""
        settled, reports = [], []
        while self._finished:
            running, outcome = self._finished.popleft()
            if self._held.get(running.claim.id) is running:
                del self._held[running.claim.id]
            settled.append(Settlement(running.claim, outcome))
            report = running.news()
            if report:
                reports.append(report)
        return settled, reports

    def interrupt(self, ids: Iterable[str], how: type[JobInterrupted]) -> None:
        """Stop these jobs at their next progress call."""
        for id in ids:
            running = self._held.get(id)
            if running is not None and running.interrupt is None:
                running.interrupt = how

    def hand_back_waiting(self) -> list[Settlement]:
        """Take the jobs that no thread has begun out of the line."""
        back: list[Settlement] = []
        while True:
            try:
                running = self._waiting.get_nowait()
            except queue.Empty:
                return back
            if running is not None:
                del self._held[running.claim.id]
                back.append(Settlement(running.claim, Released(started=False)))

    def hand_back_running(self) -> list[Settlement]:
        """Give up the jobs that run: they stop when they can, and nothing more is heard."""
        claims = [running.claim for running in self._held.values()]
        self.interrupt(list(self._held), JobReleased)
        self._held.clear()
        self._finished.clear()
        return [Settlement(claim, Released()) for claim in claims]

    def close(self, patience: float) -> None:
        """End the threads; one that is in a job ends with it, or with the process."""
        deadline = time.monotonic() + patience
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
