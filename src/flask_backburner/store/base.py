"""Store: the seam between what is done with jobs and where they live."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from msgspec import Struct

from ..record import JobFile, JobRecord, Line, ResultKind, State, Waiting
from .claim import Claim, Report, Settlement, Turn
from .new_job import NewJob

LINES_KEPT = 1000
"""So many of the newest log lines of a job are kept."""


COUNTED = 100
"""Positions in line beyond this are not counted."""

TOMBSTONES_KEPT = 90 * 86400.0
"""So many seconds a forgotten id is known as forgotten."""

PATIENCE_FOR_WORKER = 2.0
"""So many seconds a job waits before "no worker" is said: an embedded one needs to start."""


class Keeping(Struct, frozen=True):
    """How long finished jobs stay, in seconds, and how many bytes they may take together."""

    done: float = 7 * 86400.0
    failed: float = 30 * 86400.0
    bytes: int = 10 << 30


class WorkerInfo(Struct, frozen=True):
    """What a living worker is there for: so many ``threads``, for ``queues`` (none: all)."""

    worker: str
    threads: int = 1
    queues: list[str] | None = None


class Mark(Struct, frozen=True):
    """What a watcher compares: a job's version and the number of its last log line."""

    version: int
    last_line: int
    state: State


class Presence(ABC):
    """A worker's sign of life. While it is there, nobody rescues the worker's jobs."""

    worker: str

    @abstractmethod
    def started(self, claim: Claim) -> bool:
        """Note that the claim's function is about to be called; false if it is held no more.

        What is noted here counts as a crash if the worker dies before the claim is settled; a
        claim that is not noted is taken back without blame. Called by the thread that runs the
        job, so it must be cheap. Outlives the death of the process.
        """

    @abstractmethod
    def beat(self) -> None:
        """Show that the worker's loop goes round; called at least every second, so cheap."""

    @abstractmethod
    def leave(self) -> None:
        """Give up the sign of life, last of all. Jobs still held are then rescued by others.

        Repeatable.
        """


class Store(ABC):
    """Where the jobs of one namespace live, and the only truth about them, time and life.

    Every verb is complete when it returns and atomic: it happens wholly or, when it raises, not
    at all. Any number of threads and processes may call any verb at any time. All raise
    ``StoreError`` (``StoreBusy``, ``StoreFull``, ``StoreCorrupt``) when the store cannot be
    used.
    """

    @abstractmethod
    def now(self) -> float:
        """The store's time, in seconds since the epoch."""

    @abstractmethod
    def add(self, jobs: Sequence[NewJob], limit: int) -> list[JobRecord]:
        """Add jobs, all or none, as ``queued``; when this returns they are durable.

        Raises ``QueueFull`` when more than ``limit`` jobs of the namespace would be queued, and
        ``AliasTaken``. A job whose ``run_at`` is none or past may run at once.
        """

    @abstractmethod
    def get(self, id: str) -> JobRecord:
        """The job as it is now.

        Raises ``JobNotFound``, and ``JobForgotten`` for one that is past its ``kept_until``,
        whether it was purged yet or not.
        """

    @abstractmethod
    def named(self, alias: str) -> str:
        """The id of the job that was added under this alias. Raises ``JobNotFound``."""

    @abstractmethod
    def marks(self, ids: Collection[str]) -> dict[str, Mark]:
        """What watchers compare, of those of the jobs that exist. A job's version never falls.

        Log lines are no change of version, and have numbers of their own.
        """

    @abstractmethod
    def find(
        self,
        *,
        state: State | None = None,
        task: str | None = None,
        queue: str | None = None,
        owner: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[JobRecord]:
        """The newest jobs that fit, newest first, at most ``limit``.

        ``before`` is the id of a job: only jobs added before it are given, so the last id of a
        page leads to the next. Raises ``JobNotFound`` when there is no job ``before``.
        """

    @abstractmethod
    def result(self, id: str) -> tuple[ResultKind, bytes] | None:
        """The encoded result of a succeeded job and what it is, else ``None``."""

    @abstractmethod
    def saved(self, id: str) -> dict[str, bytes]:
        """What the job's attempts wished to keep, by key; empty if there is no such job."""

    @abstractmethod
    def files(self, id: str) -> list[JobFile]:
        """The result files of a job, by name."""

    @abstractmethod
    def waiting(self, id: str) -> Waiting | None:
        """Why the job does not run yet; ``None`` unless it is queued. A read only.

        ``NO_WORKER`` is said when no living worker serves its queue and it has waited
        ``PATIENCE_FOR_WORKER`` seconds. Positions beyond ``COUNTED`` are none.
        """

    @abstractmethod
    def oldest_queued(self) -> dict[str, float]:
        """Of each queue with jobs that could run now, how many seconds the oldest has waited.

        A paused queue has none.
        """

    @abstractmethod
    def workers(self) -> list[WorkerInfo]:
        """The workers that are alive."""

    @abstractmethod
    def check_writable(self) -> None:
        """Raise ``StoreError`` unless a job could be added now."""

    @abstractmethod
    def lines(self, id: str, after: int = 0, limit: int = LINES_KEPT) -> list[Line]:
        """The log lines kept of a job whose number is above ``after``, oldest first."""

    @abstractmethod
    def counters(self) -> dict[tuple[str, State], int]:
        """How many jobs of each queue are in each state, without counting them."""

    @abstractmethod
    def join(self, threads: int = 1, queues: Collection[str] | None = None) -> Presence:
        """Enlist a worker under a new name. It lives until it leaves or its process dies.

        ``threads`` and ``queues`` (none: all) are told to those who ask for ``workers``.
        """

    @abstractmethod
    def turn(
        self,
        presence: Presence | None,
        *,
        settled: Sequence[Settlement] = (),
        reports: Sequence[Report] = (),
        room: int = 0,
        queues: Collection[str] | None = None,
        tasks: Collection[str] = (),
        alone: bool = False,
    ) -> Turn:
        """Record what happened and claim what there is room for, in one transaction.

        First the reports, then the settlements. An entry counts only while its job is running
        under the entry's fence; otherwise it is refused and changes nothing, so a repeat is
        refused too. A released job is ``queued`` again at once, one to be retried after its
        delay; one that crashed as ``rescue`` has it. If a cancel was asked for such a job it is
        ``cancelled`` instead. What was settled or saved is durable when this returns.

        Whoever holds a claim may also report and settle it without a ``presence``.

        An external job is spoken for under fence 0 until it is over, by anybody, without a
        ``presence``; the first entry for a queued one makes it ``running``. As many may speak
        at once, what a report of its progress leaves out stays, and ``current`` never falls
        while the total is the same.

        Then at most ``room`` jobs become ``running``, held by this worker, each with a fence
        one higher than before: those of ``queues`` (none: all) and ``tasks`` that may run now,
        by falling priority, oldest first. A task that ends in ``*`` stands for all that begin
        so. Jobs of paused queues and expired ones stay. Those that have crashed ``SUSPICIOUS``
        times are claimed only by a turn that asks for such jobs ``alone``, and for no others.
        Of a crowd that becomes due at one time some may join the line a turn later. No job is
        ever claimed twice under one fence.

        With nothing to record and nothing to claim it writes nothing.
        """

    @abstractmethod
    def request_cancel(self, id: str) -> JobRecord:
        """Cancel a queued job; ask the holder of a running one to stop.

        A running job stays ``running`` with ``cancel_requested`` until it has stopped. A job
        that is over or being cancelled already stays as it is. Durable when this returns.
        Raises ``JobNotFound``.
        """

    @abstractmethod
    def retry(self, id: str) -> JobRecord:
        """Put a failed or cancelled job back to ``queued``; it may run at once.

        Its failures and crashes are forgiven, what it saved is kept, it expires no more. Durable
        when this returns. Raises ``JobNotFound`` and ``JobNotRetryable``.
        """

    @abstractmethod
    def pause(self, queue: str, on: bool) -> None:
        """Claim no more jobs of a queue, or claim them again. Repeatable."""

    @abstractmethod
    def paused(self) -> frozenset[str]:
        """The queues that are paused."""

    @abstractmethod
    def rescue(self, hang: float | None = None) -> list[str]:
        """Take up the jobs of workers that died; gives back the ids of all that changed.

        A job that had started is a crash: it is queued again within half a second, or
        ``failed`` as ``lost`` after as many crashes as are forgiven. One that had not loses the
        attempt. A job for which a cancel was asked is ``cancelled``. Jobs of a worker that has
        not shown a beat for ``hang`` seconds, as far as this store object has watched it, are
        queued again; that is no crash. External jobs whose deadline has passed in silence are
        ``failed`` as ``lost``, jobs that have expired as ``expired``.
        """

    @abstractmethod
    def bury(self, worker: str) -> None:
        """Note that a worker's process is known to have died: the next rescue takes its jobs.

        Only for who has seen it die: a parent process, say. Where the store sees deaths at once
        by itself it changes nothing. Repeatable; an unknown worker is none.
        """

    @abstractmethod
    def vouch(self, worker: str) -> None:
        """Note that a worker's process is known to live, though it may have no time to show it.

        Only for who sees it live: a parent process, say, of a child in which a job lets no other
        thread run. Where the store sees by itself who lives it changes nothing, nor for a worker
        that is unknown or buried.
        """

    @abstractmethod
    def purge(self, limit: int, before: float | None = None) -> list[str]:
        """Forget at most ``limit`` finished jobs and give back their ids.

        Those past their ``kept_until``, and while finished jobs take more room than allowed the
        oldest; or, with ``before``, those that finished earlier than that. Their ids are known
        as forgotten for ``TOMBSTONES_KEPT`` seconds more. Their files are the caller's to
        remove.
        """

    @abstractmethod
    def forget(self, id: str) -> bool:
        """Forget one finished job now, as ``purge`` does; whether there was one to forget.

        A job that is not over stays.
        """

    @abstractmethod
    def elect(self, role: str) -> bool:
        """Whether this store object holds the role, now that it has tried to.

        At most one holds it at any time, until it resigns or its process dies. Repeatable.
        """

    @abstractmethod
    def resign(self, role: str) -> None:
        """Give up a role. Repeatable."""

    @abstractmethod
    def tend(self) -> None:
        """Housekeeping that no request should wait for; a worker calls it now and then."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back: connections, locks, roles. Repeatable. A later verb reopens."""
