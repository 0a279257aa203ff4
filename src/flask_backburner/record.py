"""Jobs as values: what a job is, how far it is, and how an attempt can end. No IO."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def done(self) -> bool:
        """Whether the job is over for good."""
        return self in FINAL


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.FAILED}),
    State.RUNNING: FINAL | {State.QUEUED},
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""From each state, those that may follow it."""

RESCUES = 3
"""So many times a job is run again after its worker died; then it is ``lost``."""

SUSPICIOUS = 2
"""From so many crashes on a job runs alone, so that it can harm no other."""


class Progress(Struct, frozen=True):
    """How far a job is: ``current`` of ``total`` in the task's own unit, and what it does now."""

    current: float | None = None
    total: float | None = None
    message: str | None = None
    phase: str | None = None

    @property
    def fraction(self) -> float | None:
        """From 0 to 1; ``None`` while the total is unknown, never a guess."""
        if self.current is None or not self.total or self.total < 0:
            return None
        return min(1.0, max(0.0, self.current / self.total))

    def upon(self, known: Progress) -> Progress:
        """Where a job is that was there and of which this is said: what it leaves out stays.

        ``current`` never falls, but together with another ``total``, which begins to count anew.
        """
        anew = self.total is not None and self.total != known.total
        counts = [self.current] if anew else [self.current, known.current]
        return Progress(
            max((count for count in counts if count is not None), default=None),
            known.total if self.total is None else self.total,
            known.message if self.message is None else self.message,
            known.phase if self.phase is None else self.phase,
        )


class Fault(Struct, frozen=True):
    """Why a job failed.

    ``code`` is one of the codes listed in the documentation. ``message`` may be shown to the
    job's user only if ``public``; otherwise it and ``traceback`` are for operators.
    """

    code: str
    message: str
    public: bool = False
    traceback: str | None = None


class Line(Struct, frozen=True):
    """One line of a job's log. ``id`` counts from 1 within the job; 0 before it is stored."""

    at: datetime
    level: str
    text: str
    id: int = 0


class ResultKind(StrEnum):
    """What the stored result of a job is."""

    VALUE = "value"
    FILE = "file"  # the name of one of the job's files
    RESPONSE = "response"  # the answer of a background view


class Succeeded(Struct, frozen=True):
    """The function returned; ``result`` is what it returned, encoded as its ``kind`` says."""

    result: bytes
    kind: ResultKind = ResultKind.VALUE


class Failed(Struct, frozen=True):
    """The attempt failed and there is no other."""

    fault: Fault


class Cancelled(Struct, frozen=True):
    """The attempt stopped because its job was cancelled."""


class Retry(Struct, frozen=True):
    """The attempt failed, and there is another after ``delay`` seconds; it uses up a retry."""

    fault: Fault
    delay: float = 0.0


class Crashed(Struct, frozen=True):
    """The process that ran the job died, but not its worker: as a crash of the worker."""


class Released(Struct, frozen=True):
    """The worker gives the job back unfinished; it counts neither as a failure nor as a crash.

    ``started`` is false for a job that was claimed but whose function was never called: its
    attempt is taken back.
    """

    started: bool = True


Outcome = Succeeded | Failed | Cancelled | Retry | Crashed | Released
"""How an attempt ended."""


class JobFile(Struct, frozen=True):
    """A result file of a job; ``size`` in bytes."""

    name: str
    type: str
    size: int


class StoredResponse(Struct, frozen=True):
    """The answer of a background view; ``body`` names the file that holds its body.

    ``streamed`` bodies need not fit into memory; a ``direct`` one is a file's content as it is.
    ``session`` has what the view changed in the session, by key; none for what it removed.
    """

    status: str
    headers: list[tuple[str, str]]
    body: str
    streamed: bool = False
    direct: bool = False
    session: dict[str, str | None] = {}


class Reason(StrEnum):
    """Why a queued job does not run yet."""

    IN_LINE = "in_line"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    PAUSED = "paused"
    NO_WORKER = "no_worker"


class Waiting(Struct, frozen=True):
    """A diagnosis of a queued job.

    ``position`` counts from 1 and is none where counting would cost too much; ``estimate`` is
    in seconds until it starts, if that can be told.
    """

    reason: Reason
    position: int | None = None
    estimate: float | None = None


class JobRecord(Struct, frozen=True):
    """Everything about a job but its arguments, result and log, as it was at one moment.

    ``files`` counts its result files. An ``external`` job is run by other code, not by a worker.
    ``failures`` counts the attempts that failed and were forgiven, which are ``retries`` at most:
    a last one that ends the job is not among them. Until it is over, ``fault`` says why its last
    attempt failed. One not begun by ``start_by`` expires. An ``overdue`` one was told to stop a
    while ago and has not.
    """

    id: str
    task: str
    queue: str
    priority: int
    state: State
    version: int
    fence: int
    attempt: int
    crashes: int
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    progress: Progress
    progressed_at: datetime | None
    cancel_requested: bool
    fault: Fault | None
    worker: str | None
    last_line: int
    owner: str | None = None
    kept_until: datetime | None = None
    files: int = 0
    external: bool = False
    retries: int = 0
    failures: int = 0
    start_by: datetime | None = None
    overdue: bool = False

    @property
    def done(self) -> bool:
        return self.state in FINAL

    @property
    def retries_left(self) -> int:
        """How many more attempts may fail before the job does."""
        return 0 if self.done else max(0, self.retries - self.failures)
