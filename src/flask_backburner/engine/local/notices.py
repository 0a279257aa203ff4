"""Notices: signals about jobs, sent from a thread of their own so that no receiver delays work."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable
from typing import Any

from blinker import NamedSignal

from ...codec.shown import show_error
from ...installation import Installation
from ...job import Job
from ...record import State
from ...signals import (
    job_cancelled,
    job_failed,
    job_progressed,
    job_started,
    job_succeeded,
    tell,
)
from ...store.base import Claim, Report, Settlement

logger = logging.getLogger("flask_backburner")

_AT_END: dict[State, NamedSignal] = {
    State.SUCCEEDED: job_succeeded,
    State.FAILED: job_failed,
    State.CANCELLED: job_cancelled,
}


class Notices:
    """Tells the app's signal receivers, once it is recorded, what became of jobs."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._queue: queue.SimpleQueue[tuple[NamedSignal | None, str] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def started(self, claim: Claim) -> None:
        """Say that the job's function is about to be called; called by the job's own thread."""
        if job_started.receivers:
            self._put(job_started, claim.id)

    def recorded(
        self,
        settled: Iterable[Settlement],
        reports: Iterable[Report],
        refused: Iterable[Claim],
    ) -> None:
        """Say what was recorded in a turn, to those who listen."""
        stale = set(refused)
        if job_progressed.receivers:
            for report in reports:
                if report.progress is not None and report.claim not in stale:
                    self._put(job_progressed, report.claim.id)
        self._ended(entry.claim.id for entry in settled if entry.claim not in stale)

    def rescued(self, ids: Iterable[str]) -> None:
        """Say which of the jobs of a dead worker are over."""
        self._ended(ids)

    def _ended(self, ids: Iterable[str]) -> None:
        """Say how these jobs ended; those that did not, but wait again, are passed over."""
        if any(signal.receivers for signal in _AT_END.values()):
            for id in ids:
                self._put(None, id)

    def _put(self, signal: NamedSignal | None, id: str) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="backburner-signals", daemon=True
                )
                self._thread.start()
        self._queue.put((signal, id))

    def _serve(self) -> None:
        while (notice := self._queue.get()) is not None:
            try:
                self._tell(*notice)
            except BaseException as error:  # the app's teardown functions run in there
                signal, id = notice
                name = signal.name if signal else "The end"
                logger.warning("%s was not told of job %s: %s", name, id, show_error(error))

    def _tell(self, signal: NamedSignal | None, id: str) -> None:
        """Send this signal, or none given, the one for the state that the job has ended in."""
        installation = self._installation
        with installation.app.app_context():
            job = Job[Any](installation.store.get(id), installation)
            fitting = signal or _AT_END.get(job.state)
            if fitting is not None:
                tell(fitting, installation.app, job)

    def close(self, patience: float) -> None:
        """Send what is waiting, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(patience)
            self._thread = None
