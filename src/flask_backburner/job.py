"""Job: the handle that users hold; returned from a view it is the 202."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec
from flask import has_request_context, request

from .answer import accepted_response, prefers_html
from .codec.shown import show
from .document import job_document
from .errors import JobFailed, JobNotDone
from .installation import Installation
from .live.preference import say_applied
from .record import (
    Fault,
    JobFile,
    JobRecord,
    Line,
    Progress,
    ResultKind,
    State,
    StoredResponse,
    Waiting,
)
from .signals import job_cancelled, job_retried

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Response

R = TypeVar("R")

FIRST_NAP = 0.001
LONGEST_NAP = 0.05
INLINE_RESULT_BYTES = 16 << 10


class Job(Generic[R]):
    """One run of a task. What it says is as of the last look; ``refresh`` looks again.

    A view may return it: the answer is 202 with the job's address, or for browsers a redirect
    to its page.
    """

    def __init__(self, record: JobRecord, installation: Installation) -> None:
        self.record = record
        self._installation = installation

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} {self.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def task(self) -> str:
        """The task's name."""
        return self.record.task

    @property
    def queue(self) -> str:
        return self.record.queue

    @property
    def state(self) -> State:
        return self.record.state

    @property
    def done(self) -> bool:
        """Whether it is over: succeeded, failed or cancelled."""
        return self.record.done

    @property
    def version(self) -> int:
        """Rises with every change."""
        return self.record.version

    @property
    def attempt(self) -> int:
        """Which try this is, from 1; 0 before the first."""
        return self.record.attempt

    @property
    def progress(self) -> Progress:
        return self.record.progress

    @property
    def error(self) -> Fault | None:
        """Why it failed, or why the last attempt did of one that is going to be tried again.

        For developers: its message may be more than its user should read.
        """
        return self.record.fault

    @property
    def created_at(self) -> datetime:
        return self.record.created_at

    @property
    def run_at(self) -> datetime:
        """When it may run."""
        return self.record.run_at

    @property
    def started_at(self) -> datetime | None:
        return self.record.started_at

    @property
    def finished_at(self) -> datetime | None:
        return self.record.finished_at

    @property
    def result(self) -> R:
        """What the task returned, typed by its return hint.

        Raises ``JobNotDone`` before the end and ``JobFailed`` if there will never be one.
        """
        if self.state is State.SUCCEEDED:
            return cast(R, self._load(*self.stored_result()))
        if not self.done:
            raise JobNotDone(self.id, self.state)
        if self.record.fault:
            raise JobFailed(self.id, self.record.fault.code, self.record.fault.message)
        raise JobFailed(self.id, "cancelled", "it was cancelled")

    def stored_result(self) -> tuple[ResultKind, bytes]:
        """The result as it is stored, and what it is; only of a job that has succeeded."""
        return self._installation.store.result(self.id) or (ResultKind.VALUE, b"null")

    def _load(self, kind: ResultKind, data: bytes) -> Any:
        if kind is ResultKind.FILE:
            return msgspec.json.decode(data, type=JobFile)
        if kind is ResultKind.RESPONSE:
            return msgspec.json.decode(data, type=StoredResponse)
        definition = self._installation.definition(self.task)
        if definition is None:
            return msgspec.json.decode(data)
        return definition.signature.load_result(data)

    @property
    def files(self) -> list[JobFile]:
        """Its result files, by name."""
        return self._installation.store.files(self.id) if self.record.files else []

    @property
    def waiting(self) -> Waiting | None:
        """Why it does not run yet; ``None`` unless it is queued."""
        return self._installation.store.waiting(self.id) if self.state is State.QUEUED else None

    def refresh(self) -> Job[R]:
        """Look again. Raises ``JobNotFound`` if it was forgotten."""
        self.record = self._installation.store.get(self.id)
        return self

    def wait(self, timeout: float | None = None) -> Job[R]:
        """Return when the job is done; after ``timeout`` seconds raise ``TimeoutError``."""
        if not self._done_within(timeout):
            raise TimeoutError(
                f"The job {self.id!r} is still {self.state} after {timeout} s. {self._advice()}"
            )
        return self

    def _advice(self) -> str:
        if self.waiting and not self._installation.store.workers():
            return (
                "No worker is there to run it: start one with `flask jobs worker`; a web process "
                "starts its own at its first request."
            )
        return "It goes on: wait longer, or look again later."

    def _done_within(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        nap = FIRST_NAP
        while not self.refresh().done:
            left = nap if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(nap, left))
            nap = min(nap * 1.5, LONGEST_NAP)
        return True

    def cancel(self) -> Job[R]:
        """Cancel it if it is queued; if it runs, ask it to stop. Once it is over, do nothing.

        A running job stops at its next progress call; it is ``cancelled`` when it has stopped.
        """
        before = self.record.version
        self.record = self._installation.store.request_cancel(self.id)
        if self.state is State.RUNNING:
            self._installation.engine.announce(self.queue, 0)
        elif self.state is State.CANCELLED and self.version > before:
            self._installation.tell(job_cancelled, self)
        return self

    def retry(self) -> Job[R]:
        """Put it back in line if it failed or was cancelled, as if it had never been tried.

        What it has kept (checkpoint, steps, items done) it finds again. Raises
        ``JobNotRetryable`` for one that has succeeded or is not over.
        """
        self.record = self._installation.store.retry(self.id)
        self._installation.engine.announce(self.queue, 1)
        self._installation.tell(job_retried, self)
        return self

    def log(self, after: int = 0) -> list[Line]:
        """The lines of its log, oldest first, that come after line number ``after``."""
        return self._installation.store.lines(self.id, after)

    def document(self) -> dict[str, Any]:
        """The job as its JSON document, to put into a response of your own."""
        document = self._document()
        if "result" in document:
            document["result"] = msgspec.json.decode(document["result"])
        return document

    def _document(self) -> dict[str, Any]:
        """The document with its result as the JSON that is stored, for msgspec to pass on."""
        return self._document_below(self._installation.base(), self.waiting)

    def _document_below(self, base: str | None, waiting: Waiting | None) -> dict[str, Any]:
        """The same without a request, which would know the ``base``."""
        installation = self._installation
        document = job_document(
            self.record,
            installation.store.now(),
            base=base,
            files=self.files,
            waiting=waiting,
            reveal=installation.app.debug,
        )
        if self.state is State.SUCCEEDED:
            kind, data = self.stored_result()
            if kind is ResultKind.VALUE and len(data) <= INLINE_RESULT_BYTES:
                document["result"] = msgspec.Raw(data)
        return document

    def accepted(self, wait: float = 0.0) -> Response:
        """The answer for a view that has started this job.

        Waits up to ``wait`` seconds first: quick work is answered at once with 200 and the
        finished job, long work with 202 and its address. A client that sends ``Prefer: wait=N``
        waits so long, up to ``BACKBURNER_MAX_WAIT``, where there is room for it.
        """
        if isinstance(wait, bool) or not isinstance(wait, (int, float)):
            raise TypeError(f"accepted() got wait={show(wait)}, but wants a number of seconds.")
        if wait > 0:
            self._done_within(wait)
        applied = self._wait_as_preferred()
        response = accepted_response(self._installation.app, self._document())
        return say_applied(response, applied)

    def _wait_as_preferred(self) -> int | None:
        """Wait as long as the client wants to; gives back how long that is, if it was done."""
        if self.done or not has_request_context() or prefers_html():
            return None
        return self._installation.live.wait_as_preferred(
            request.environ, self.id, lambda: self.refresh().done
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """A WSGI application, because that is what Flask takes as a view's answer."""
        return self.accepted()(environ, start_response)
