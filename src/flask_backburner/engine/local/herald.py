"""Herald: the thread of a slot that speaks with the worker while a job runs."""

from __future__ import annotations

import os
import select
import signal
import threading
from threading import get_ident

from ...errors import JobCancelled, JobInterrupted, JobReleased, JobTimedOut
from ...running import RunningJob
from ...store.claim import Report
from .channel import Channel, Interrupt, News

TELL_INTERVAL = 0.1
CALLS = 5
INTERRUPTIONS: dict[str, type[JobInterrupted]] = {
    kind.__name__: kind for kind in (JobCancelled, JobTimedOut, JobReleased)
}


class Herald:
    """A second thread: tells the worker of the job that runs, and hears when it is to stop.

    It begins before the app is loaded, which may put other things in the place of threads.
    """

    def __init__(self, side: Channel[Interrupt]) -> None:
        self.main = get_ident()
        self._side = side
        self._poll = select.poll()
        self._poll.register(side.fileno(), select.POLLIN)
        self._telling = threading.Lock()
        self._running: RunningJob | None = None
        self._early: Interrupt | None = None
        self._calls_left = 0

    def start(self) -> None:
        threading.Thread(target=self._attend, name="backburner-herald", daemon=True).start()

    def follow(self, running: RunningJob) -> None:
        """Tell of this job from now on, which may have been told to stop already."""
        with self._telling:
            self._running = running
            if self._early is not None:
                self._interrupt(self._early)

    def last_words(self) -> Report | None:
        """What is new of the job and was not told; nothing more is."""
        with self._telling:
            running, self._running = self._running, None
            self._calls_left = 0
            return None if running is None else running.news()

    def _attend(self) -> None:
        """The thread. Without the worker there is nothing to live for."""
        try:
            while True:
                self._hear_and_tell()
        finally:
            os.killpg(0, signal.SIGKILL)

    def _hear_and_tell(self) -> None:
        try:
            for interrupt in self._side.arrived() if self._poll.poll(TELL_INTERVAL * 1000) else ():
                with self._telling:
                    self._interrupt(interrupt)
            self._tell()
            self._call()
        except MemoryError:
            return  # the job's own matter; there may be more at the next look

    def _interrupt(self, interrupt: Interrupt) -> None:
        running, self._early = self._running, None
        if running is None:
            self._early = interrupt
        elif running.interrupt is None and interrupt.means(running.claim):
            running.interrupt = INTERRUPTIONS[interrupt.how]
            self._calls_left = CALLS
            self._call()

    def _call(self) -> None:
        """Signal the job's thread, again at the next looks if need be.

        A signal is lost on a thread that was just about to wait in a system call.
        """
        if self._calls_left:
            self._calls_left -= 1
            signal.pthread_kill(self.main, signal.SIGTERM)

    def was_heard(self) -> None:
        """The signal has arrived."""
        self._calls_left = 0

    def _tell(self) -> None:
        with self._telling:
            report = None if self._running is None else self._running.news()
            if report:
                self._side.send(News.of(report))
