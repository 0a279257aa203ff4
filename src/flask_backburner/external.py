"""ExternalJob: a job whose work other code does, reporting it by the job's id."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .clock import moment
from .codec import Signature
from .context import number
from .errors import BackburnerError, JobCancelled, JobDone, JobForgotten
from .installation import Installation
from .job import Job
from .record import Cancelled, Failed, Fault, Line, Outcome, Progress, State, Succeeded
from .running import storable
from .signals import job_cancelled, job_failed, job_progressed, job_started, job_succeeded
from .store.claim import Claim, Report, Settlement

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class ExternalJob:
    """Drives a job from outside: from any thread or process that holds its id.

    Nobody claims or rescues such a job; it moves only by what is said here. Once it is over
    every further call raises ``JobDone``; if it was cancelled, ``JobCancelled``.
    """

    def __init__(self, job: Job[Any], installation: Installation) -> None:
        if not job.record.external:
            raise BackburnerError(
                f"The job {job.id!r} is run by a worker, so nothing can be said for it. Make a "
                "job that you drive yourself with tasks.external(name)."
            )
        self.job = job
        self._installation = installation
        record = job.record
        self._claim = Claim(record.id, 0, record.task, record.queue, 0, b"")

    def __repr__(self) -> str:
        return f"<ExternalJob {self.id} {self.job.task} {self.job.state}>"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """A view may return it, as it may its job."""
        return self.job(environ, start_response)

    @property
    def id(self) -> str:
        """The job's id, by which other threads and processes take over."""
        return self._claim.id

    def start(self) -> None:
        """Say that the work has begun. Repeatable; any other report says it too."""
        self._report(Report(self._claim))

    def progress(
        self,
        current: float | None = None,
        total: float | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far the work is; what is left out stays as it was.

        Written at once, so a tight loop should say it now and then only. Many may say it at
        the same time: the bar never goes back, but with another ``total``. Raises
        ``JobCancelled`` if a cancel was asked: the job is then ``cancelled``, and the work is
        to end.
        """
        news = Progress(
            None if current is None else number("current", current),
            None if total is None else number("total", total),
            None if message is None else storable(str(message)),
        )
        self._report(Report(self._claim, news))
        if self.job.record.cancel_requested:
            self._settle(Cancelled())
            raise JobCancelled

    def log(self, text: str, level: str = "info") -> None:
        """Add a line to the job's log."""
        line = Line(moment(self._installation.store.now()), str(level), storable(str(text)))
        self._report(Report(self._claim, lines=(line,)))

    def succeed(self, result: Any = None) -> None:
        """End the job with a result of plain JSON values: None, bool, numbers, text, list, dict.

        Raises ``ResultError`` for any other.
        """
        limits = self._installation.settings.limits
        self._settle(Succeeded(_PLAIN.dump_result(result, limits)))

    def fail(self, message: str) -> None:
        """End the job as failed, with words for its user."""
        self._settle(Failed(Fault("error", storable(str(message)), public=True)))

    def _report(self, report: Report) -> None:
        before = self.job.state
        turn = self._installation.store.turn(None, reports=[report])
        self._after(refused=bool(turn.refused))
        if before is State.QUEUED:
            self._installation.tell(job_started, self.job)
        if report.progress is not None:
            self._installation.tell(job_progressed, self.job)

    def _settle(self, outcome: Outcome) -> None:
        turn = self._installation.store.turn(None, settled=[Settlement(self._claim, outcome)])
        self._after(refused=bool(turn.refused))
        self._installation.tell(_AT_END[type(outcome)], self.job)

    def _after(self, *, refused: bool) -> None:
        if not refused:
            with suppress(JobForgotten):  # what is kept for no time at all
                self.job.refresh()
            return
        if self.job.refresh().state is State.CANCELLED:
            raise JobCancelled
        raise JobDone(self.id, self.job.state)


_AT_END = {Succeeded: job_succeeded, Failed: job_failed, Cancelled: job_cancelled}


def _plain() -> Any:
    """Stands for work of which nothing is known but that it gives JSON."""


_PLAIN = Signature(_plain, "external")
