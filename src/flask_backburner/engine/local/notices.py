"""Notices: signals about jobs, sent from a thread of their own so that no receiver delays work."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable
from typing import Any

from blinker import NamedSignal
from msgspec import Struct

from ...codec.shown import show_error
from ...installation import Installation
from ...job import Job
from ...record import Cancelled, Crashed, Failed, Outcome, Retry, State, Succeeded
from ...signals import (
    job_cancelled,
    job_failed,
    job_progressed,
    job_retried,
    job_started,
    job_succeeded,
    tell,
)
from ...store.claim import Claim, Report, Settlement

logger = logging.getLogger("flask_backburner")

_AT_END: dict[State, NamedSignal] = {
    State.SUCCEEDED: job_succeeded,
    State.FAILED: job_failed,
    State.CANCELLED: job_cancelled,
}
_BY_OUTCOME: dict[type[Outcome], NamedSignal] = {
    Succeeded: job_succeeded,
    Failed: job_failed,
    Cancelled: job_cancelled,
}
_CHANGES = (job_succeeded, job_failed, job_cancelled, job_retried)


class _Notice(Struct, frozen=True):
    """What to say of a job: a signal, or none if the job itself has to be looked at.

    Then ``fence`` is that of the attempt which is over, if known: under another one the job
    goes on. ``again`` says that it is tried again unless it is over.
    """

    id: str
    signal: NamedSignal | None = None
    fence: int | None = None
    again: bool = False

    def fitting(self, job: Job[Any]) -> NamedSignal | None:
        if self.signal is not None:
            return self.signal
        if job.done and self.fence in (None, job.record.fence):
            return _AT_END[job.state]
        return job_retried if self.again and job.attempt else None


class Notices:
    """Tells the app's signal receivers, once it is recorded, what became of jobs."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._queue: queue.SimpleQueue[_Notice | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def started(self, claim: Claim) -> None:
        """Say that the job's function is about to be called; called by the job's own thread."""
        if job_started.receivers:
            self._put(_Notice(claim.id, job_started))

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
                    self._put(_Notice(report.claim.id, job_progressed))
        if _anybody_listens():
            for entry in settled:
                if entry.claim not in stale:
                    self._put(_after(entry))

    def rescued(self, ids: Iterable[str]) -> None:
        """Say what becomes of jobs that a worker has lost hold of, and of those that expired."""
        if _anybody_listens():
            for id in ids:
                self._put(_Notice(id, again=True))

    def _put(self, notice: _Notice) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="backburner-signals", daemon=True
                )
                self._thread.start()
        self._queue.put(notice)

    def _serve(self) -> None:
        while (notice := self._queue.get()) is not None:
            try:
                self._tell(notice)
            except BaseException as error:  # the app's teardown functions run in there
                name = notice.signal.name if notice.signal else "The end"
                logger.warning("%s was not told of job %s: %s", name, notice.id, show_error(error))

    def _tell(self, notice: _Notice) -> None:
        installation = self._installation
        with installation.app.app_context():
            job = Job[Any](installation.store.get(notice.id), installation)
            signal = notice.fitting(job)
            if signal is not None:
                tell(signal, installation.app, job)

    def close(self, patience: float) -> None:
        """Send what is waiting, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(patience)
            self._thread = None


def _anybody_listens() -> bool:
    return any(signal.receivers for signal in _CHANGES)


def _after(entry: Settlement) -> _Notice:
    """What to say of an attempt that is over."""
    signal = _BY_OUTCOME.get(type(entry.outcome))
    again = isinstance(entry.outcome, Retry | Crashed)
    return _Notice(entry.claim.id, signal, entry.claim.fence, again)
