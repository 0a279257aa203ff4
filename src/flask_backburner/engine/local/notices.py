"""Notices: signals about jobs, sent from a thread of their own so that no receiver delays work."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from queue import SimpleQueue
from typing import Any

from blinker import NamedSignal

from ...errors import JobNotFound
from ...installation import Installation
from ...job import Job
from ...record import Cancelled, Failed, Released, Succeeded
from ...signals import job_cancelled, job_failed, job_progressed, job_succeeded
from ...store.base import Claim, Report, Settlement

_SIGNALS: dict[type, NamedSignal | None] = {
    Succeeded: job_succeeded,
    Failed: job_failed,
    Cancelled: job_cancelled,
    Released: None,
}


class Notices:
    """Tells the app's signal receivers, once it is recorded, what became of jobs."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._queue: SimpleQueue[tuple[NamedSignal, str] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def tell(
        self,
        settled: Iterable[Settlement],
        reports: Iterable[Report],
        refused: Iterable[Claim],
    ) -> None:
        """Send the signals for what was recorded, to those who listen."""
        stale = set(refused)
        if job_progressed.receivers:
            for report in reports:
                if report.progress is not None and report.claim not in stale:
                    self._send(job_progressed, report.claim.id)
        if job_succeeded.receivers or job_failed.receivers or job_cancelled.receivers:
            for entry in settled:
                signal = _SIGNALS[type(entry.outcome)]
                if signal is not None and signal.receivers and entry.claim not in stale:
                    self._send(signal, entry.claim.id)

    def _send(self, signal: NamedSignal, id: str) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="backburner-signals", daemon=True
            )
            self._thread.start()
        self._queue.put((signal, id))

    def _serve(self) -> None:
        app = self._installation.app
        while (notice := self._queue.get()) is not None:
            signal, id = notice
            try:
                with app.app_context():
                    job = Job[Any](self._installation.store.get(id), self._installation)
                    signal.send(app, job=job)
            except JobNotFound:
                continue
            except Exception:
                app.logger.exception("A receiver of %s failed for job %s", signal.name, id)

    def close(self, patience: float) -> None:
        """Send what is waiting, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(patience)
            self._thread = None
