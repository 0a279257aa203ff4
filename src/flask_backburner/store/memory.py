"""MemoryStore: jobs in this process only; the seam's smallest form and the tests' model."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from ..clock import Clock, moment
from ..errors import AliasTaken, JobForgotten, JobNotFound, JobNotRetryable, QueueFull
from ..record import (
    FINAL,
    RESCUES,
    SUSPICIOUS,
    Cancelled,
    Crashed,
    Failed,
    Fault,
    JobFile,
    JobRecord,
    Line,
    Progress,
    Reason,
    Released,
    ResultKind,
    Retry,
    State,
    Succeeded,
    Waiting,
)
from .base import (
    COUNTED,
    LINES_KEPT,
    PATIENCE_FOR_WORKER,
    TOMBSTONES_KEPT,
    Keeping,
    Mark,
    Presence,
    Store,
    WorkerInfo,
)
from .claim import (
    Claim,
    Report,
    Settlement,
    Turn,
)
from .new_job import NewJob, new_record
from .silence import Silence


class MemoryPresence(Presence):
    """A worker that is alive until it leaves, or until a test lets it ``die``."""

    def __init__(self, info: WorkerInfo) -> None:
        self.worker = info.worker
        self.info = info
        self.alive = True
        self.held: set[Claim] = set()
        self.noted: set[tuple[str, int]] = set()
        self.beats = 0

    def started(self, claim: Claim) -> bool:
        if claim in self.held:
            self.noted.add((claim.id, claim.fence))
        return claim in self.held

    def beat(self) -> None:
        self.beats += 1

    def leave(self) -> None:
        self.alive = False

    die = leave


class Entry(Struct):
    """A job with what a record leaves out."""

    record: JobRecord
    arguments: bytes
    result: tuple[ResultKind, bytes] | None = None
    lines: list[Line] = []
    files: dict[str, JobFile] = {}
    deadline: float | None = None
    heard_at: float = 0.0
    rescues: int = RESCUES
    saved: dict[str, bytes] = {}


@dataclass
class Memory:
    """What the stores of one namespace share."""

    entries: dict[str, Entry] = field(default_factory=dict)
    tombstones: dict[str, tuple[float, str | None]] = field(default_factory=dict)
    presences: dict[str, MemoryPresence] = field(default_factory=dict)
    roles: dict[str, MemoryStore] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    pauses: set[str] = field(default_factory=set)
    names: Iterable[int] = field(default_factory=count)
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryStore(Store):
    """Jobs in this process; two stores over one ``Memory`` see the same."""

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        keeping: Keeping | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.memory = memory or Memory()
        self._keeping = keeping or Keeping()
        self._entries = self.memory.entries
        self._lock = self.memory.lock
        self._clock = clock or Clock()
        self._silence = Silence(self._clock)
        self._joined: list[Presence] = []

    def now(self) -> float:
        return self._clock.now()

    def add(self, jobs: Sequence[NewJob], limit: int) -> list[JobRecord]:
        with self._lock:
            queued = sum(entry.record.state is State.QUEUED for entry in self._entries.values())
            if queued + len(jobs) > limit:
                raise QueueFull(queued, limit)
            aliases = Counter(job.alias for job in jobs if job.alias is not None)
            for alias, times in aliases.items():
                if times > 1 or alias in self.memory.aliases:
                    raise AliasTaken(alias)
            self.memory.aliases |= {job.alias: job.id for job in jobs if job.alias is not None}
            entries = [self._entry(job) for job in jobs]
            self._entries.update((entry.record.id, entry) for entry in entries)
        return [entry.record for entry in entries]

    def _entry(self, job: NewJob) -> Entry:
        record = new_record(job, self.now())
        return Entry(
            record,
            job.arguments,
            deadline=job.deadline,
            heard_at=self.now(),
            rescues=job.rescues,
        )

    def _change(self, entry: Entry, **changes: object) -> None:
        entry.record = replace(
            entry.record,
            version=entry.record.version + 1,
            updated_at=moment(self.now()),
            **changes,
        )

    def _find(self, id: str) -> Entry:
        if id in self._entries:
            return self._entries[id]
        if id in self.memory.tombstones:
            raise JobForgotten(id, self.memory.tombstones[id][1])
        raise JobNotFound(id)

    def get(self, id: str) -> JobRecord:
        record = self._find(id).record
        if record.kept_until is not None and record.kept_until <= moment(self.now()):
            raise JobForgotten(id, record.owner)
        return record

    def named(self, alias: str) -> str:
        try:
            return self.memory.aliases[alias]
        except KeyError:
            raise JobNotFound(alias) from None

    def saved(self, id: str) -> dict[str, bytes]:
        return dict(self._entries[id].saved) if id in self._entries else {}

    def marks(self, ids: Collection[str]) -> dict[str, Mark]:
        records = [self._entries[id].record for id in ids if id in self._entries]
        return {each.id: Mark(each.version, each.last_line, each.state) for each in records}

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
        with self._lock:
            records = [entry.record for entry in self._entries.values()]
            if before is not None:
                records = records[: records.index(self._find(before).record)]
        return [
            record
            for record in reversed(records)
            if state in (None, record.state)
            and task in (None, record.task)
            and queue in (None, record.queue)
            and owner in (None, record.owner)
        ][:limit]

    def result(self, id: str) -> tuple[ResultKind, bytes] | None:
        return self._entries[id].result if id in self._entries else None

    def files(self, id: str) -> list[JobFile]:
        return [file for _, file in sorted(self._find(id).files.items())]

    def waiting(self, id: str) -> Waiting | None:
        with self._lock:
            record = self._find(id).record
            if record.state is not State.QUEUED or record.external:
                return None
            now = self.now()
            if record.run_at > moment(now):
                left = record.run_at.timestamp() - now
                mishaps = record.failures + record.crashes
                reason = Reason.RETRY if mishaps else Reason.SCHEDULED
                return Waiting(reason, None, round(left, 1))
            if record.queue in self.memory.pauses:
                return Waiting(Reason.PAUSED)
            line = [
                entry.record.id
                for entry in self._line({record.queue}, ("*",))
                if entry.record.crashes < SUSPICIOUS or entry.record.id == id
            ]
            position = line.index(id) + 1 if id in line[:COUNTED] else None
            waited = now - max(record.created_at, record.run_at).timestamp()
            serving = any(
                each.queues is None or record.queue in each.queues for each in self.workers()
            )
            if not serving and waited >= PATIENCE_FOR_WORKER:
                return Waiting(Reason.NO_WORKER, position)
            return Waiting(Reason.IN_LINE, position)

    def oldest_queued(self) -> dict[str, float]:
        oldest: dict[str, float] = {}
        for entry in self._line(None, ("*",)):
            since = max(entry.record.created_at, entry.record.run_at).timestamp()
            queue = entry.record.queue
            if queue not in self.memory.pauses:
                oldest[queue] = max(oldest.get(queue, 0.0), self.now() - since)
        return oldest

    def workers(self) -> list[WorkerInfo]:
        return [each.info for each in self.memory.presences.values() if each.alive]

    def check_writable(self) -> None:
        """It always is."""

    def lines(self, id: str, after: int = 0, limit: int = LINES_KEPT) -> list[Line]:
        return [line for line in self._find(id).lines if line.id > after][:limit]

    def counters(self) -> dict[tuple[str, State], int]:
        with self._lock:
            records = [entry.record for entry in self._entries.values()]
        return dict(Counter((record.queue, record.state) for record in records))

    def join(self, threads: int = 1, queues: Collection[str] | None = None) -> Presence:
        with self._lock:
            name = f"worker-{next(iter(self.memory.names))}"
            listed = None if queues is None else sorted(queues)
            presence = MemoryPresence(WorkerInfo(name, threads, listed))
            self.memory.presences[presence.worker] = presence
            self._joined.append(presence)
        return presence

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
        with self._lock:
            refused = [each.claim for each in reports if not self._record(each)]
            refused += [each.claim for each in settled if not self._settle(each)]
            if presence is None:
                return Turn(refused=tuple(refused))
            claimed = [
                self._claim(entry, presence)
                for entry in [
                    entry
                    for entry in self._line(queues, tasks)
                    if (entry.record.crashes >= SUSPICIOUS) is alone
                    and entry.record.queue not in self.memory.pauses
                    and not self._expired(entry)
                ][: max(0, room)]
            ]
            cancelling = [
                record.id
                for record in (entry.record for entry in self._entries.values())
                if record.worker == presence.worker
                and record.state is State.RUNNING
                and record.cancel_requested
            ]
            assert isinstance(presence, MemoryPresence)
            presence.held.update(claimed)
            presence.held.difference_update(refused, (each.claim for each in settled))
        return Turn(tuple(claimed), tuple(refused), tuple(cancelling))

    def _held(self, claim: Claim) -> Entry | None:
        entry = self._entries.get(claim.id)
        if entry is None or entry.record.fence != claim.fence:
            return None
        if entry.record.external and not entry.record.done:
            self._hear(entry)
        return entry if entry.record.state is State.RUNNING else None

    def _hear(self, entry: Entry) -> None:
        entry.heard_at = self.now()
        if entry.record.state is State.QUEUED:
            started = moment(self.now())
            self._change(entry, state=State.RUNNING, attempt=1, started_at=started)

    def _record(self, report: Report) -> bool:
        entry = self._held(report.claim)
        if entry is None:
            return False
        if report.progress is not None:
            progress = report.progress
            if entry.record.external:
                progress = progress.upon(entry.record.progress)
            self._change(entry, progress=progress, progressed_at=moment(self.now()))
        last = entry.record.last_line
        added = [replace(line, id=last + n) for n, line in enumerate(report.lines, 1)]
        entry.lines = (entry.lines + added)[-LINES_KEPT:]
        entry.record = replace(entry.record, last_line=last + len(added))
        if report.files:
            entry.files = entry.files | {file.name: file for file in report.files}
            self._change(entry, files=len(entry.files))
        for key, data in report.saved:
            entry.saved = {name: each for name, each in entry.saved.items() if name != key}
            if data is not None:
                entry.saved[key] = data
        if report.overdue:
            self._change(entry, overdue=True)
        return True

    def _settle(self, settlement: Settlement) -> bool:
        entry = self._held(settlement.claim)
        if entry is None:
            return False
        match settlement.outcome:
            case Succeeded(result, kind):
                self._end(entry, State.SUCCEEDED)
                entry.result = (kind, result)
            case Failed(fault):
                self._end(entry, State.FAILED, fault=fault)
            case Released(started) if not entry.record.cancel_requested:
                self._requeue(entry, attempt=entry.record.attempt - (not started))
            case Retry(fault, delay) if not entry.record.cancel_requested:
                failures = entry.record.failures + 1
                self._requeue(entry, delay, failures=failures, fault=fault)
            case Crashed() if not entry.record.cancel_requested:
                self._crash(entry)
            case Released() | Retry() | Crashed() | Cancelled():
                self._end(entry, State.CANCELLED)
        return True

    def _end(self, entry: Entry, state: State, **changes: object) -> None:
        keep = self._keeping.failed if state is State.FAILED else self._keeping.done
        blemished = {} if state is State.FAILED else {"fault": None}
        self._change(
            entry,
            state=state,
            finished_at=moment(self.now()),
            kept_until=moment(self.now() + keep),
            overdue=False,
            **(blemished | changes),
        )

    def _requeue(self, entry: Entry, delay: float = 0.0, **changes: object) -> None:
        self._change(
            entry,
            state=State.QUEUED,
            run_at=moment(self.now() + delay),
            worker=None,
            started_at=None,
            overdue=False,
            **changes,
        )

    def _crash(self, entry: Entry) -> None:
        crashes = entry.record.crashes + 1
        if crashes <= entry.rescues:
            self._requeue(entry, crashes=crashes)
        else:
            lost = Fault("lost", "The process that ran this job died.")
            self._end(entry, State.FAILED, fault=lost, crashes=crashes)

    def _expired(self, entry: Entry) -> bool:
        record = entry.record
        return (
            record.state is State.QUEUED
            and record.attempt == 0
            and record.start_by is not None
            and record.start_by <= moment(self.now())
        )

    def _line(self, queues: Collection[str] | None, tasks: Collection[str]) -> list[Entry]:
        now = moment(self.now())
        ready = [
            entry
            for entry in self._entries.values()
            if entry.record.state is State.QUEUED
            and not entry.record.external
            and entry.record.run_at <= now
            and any(fits(entry.record.task, task) for task in tasks)
            and (queues is None or entry.record.queue in queues)
        ]
        return sorted(ready, key=lambda entry: -entry.record.priority)

    def _claim(self, entry: Entry, presence: Presence) -> Claim:
        self._change(
            entry,
            state=State.RUNNING,
            fence=entry.record.fence + 1,
            attempt=entry.record.attempt + 1,
            worker=presence.worker,
            started_at=moment(self.now()),
            progress=Progress(),
            progressed_at=None,
            overdue=False,
        )
        record = entry.record
        return Claim(
            record.id,
            record.fence,
            record.task,
            record.queue,
            record.attempt,
            entry.arguments,
            record.failures,
            record.retries,
            record.crashes,
            tuple(sorted(entry.saved.items())),
        )

    def request_cancel(self, id: str) -> JobRecord:
        with self._lock:
            self.get(id)
            entry = self._find(id)
            if entry.record.state is State.QUEUED:
                self._end(entry, State.CANCELLED, cancel_requested=True)
            elif entry.record.state is State.RUNNING and not entry.record.cancel_requested:
                self._change(entry, cancel_requested=True)
            return entry.record

    def retry(self, id: str) -> JobRecord:
        with self._lock:
            self.get(id)
            entry = self._find(id)
            record = entry.record
            if record.state not in (State.FAILED, State.CANCELLED) or record.external:
                raise JobNotRetryable(id, record.state)
            self._requeue(
                entry,
                failures=0,
                crashes=0,
                cancel_requested=False,
                finished_at=None,
                kept_until=None,
                start_by=None,
                fault=None,
            )
            return entry.record

    def pause(self, queue: str, on: bool) -> None:
        with self._lock:
            (self.memory.pauses.add if on else self.memory.pauses.discard)(queue)

    def paused(self) -> frozenset[str]:
        return frozenset(self.memory.pauses)

    def rescue(self, hang: float | None = None) -> list[str]:
        with self._lock:
            workers = self.memory.presences
            dead = [each for each in workers.values() if not each.alive]
            rescued = [id for presence in dead for id in self._rescue(presence)]
            if hang is not None:
                beats = [(each.worker, each.beats) for each in workers.values() if each.alive]
                for hung in self._silence.longer_than(hang, beats):
                    rescued += self._rescue(workers[hung], hung=True)
            return rescued + self._give_up_silent() + self._expire()

    def bury(self, worker: str) -> None:
        with self._lock:
            if worker in self.memory.presences:
                self.memory.presences[worker].alive = False

    def vouch(self, worker: str) -> None:
        """Here nobody dies of silence."""

    def _expire(self) -> list[str]:
        expired = [entry for entry in self._entries.values() if self._expired(entry)]
        for entry in expired:
            self._end(entry, State.FAILED, fault=Fault("expired", "Not begun in time."))
        return [entry.record.id for entry in expired]

    def _give_up_silent(self) -> list[str]:
        silent = [
            entry
            for entry in self._entries.values()
            if entry.deadline is not None
            and not entry.record.done
            and entry.heard_at + entry.deadline <= self.now()
        ]
        for entry in silent:
            self._end(entry, State.FAILED, fault=Fault("lost", "Nothing was heard of this job."))
        return [entry.record.id for entry in silent]

    def _rescue(self, presence: MemoryPresence, *, hung: bool = False) -> list[str]:
        if not hung:
            del self.memory.presences[presence.worker]
        held = [
            entry
            for entry in self._entries.values()
            if entry.record.worker == presence.worker and entry.record.state not in FINAL
        ]
        for entry in held:
            record = entry.record
            if record.cancel_requested:
                self._end(entry, State.CANCELLED)
            elif (record.id, record.fence) not in presence.noted:
                self._requeue(entry, attempt=record.attempt - 1)
            elif hung:
                self._requeue(entry)
            else:
                self._crash(entry)
        return [entry.record.id for entry in held]

    def purge(self, limit: int, before: float | None = None) -> list[str]:
        with self._lock:
            now = self.now()
            ids = [
                record.id
                for record in (entry.record for entry in self._entries.values())
                if record.kept_until is not None
                and record.finished_at is not None
                and (
                    record.kept_until <= moment(now)
                    if before is None
                    else record.finished_at < moment(before)
                )
            ][:limit]
            self._forget(ids, now)
        return ids

    def forget(self, id: str) -> bool:
        with self._lock:
            known = id in self._entries and self._entries[id].record.done
            if known:
                self._forget([id], self.now())
            return known

    def _forget(self, ids: list[str], now: float) -> None:
        for id in ids:
            self.memory.tombstones[id] = (now, self._entries.pop(id).record.owner)
        for alias, named in list(self.memory.aliases.items()):
            if named in ids:
                del self.memory.aliases[alias]
        for id, (forgotten_at, _) in list(self.memory.tombstones.items()):
            if forgotten_at < now - TOMBSTONES_KEPT:
                del self.memory.tombstones[id]

    def elect(self, role: str) -> bool:
        with self._lock:
            return self.memory.roles.setdefault(role, self) is self

    def resign(self, role: str) -> None:
        with self._lock:
            if self.memory.roles.get(role) is self:
                del self.memory.roles[role]

    def tend(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        while self._joined:
            self._joined.pop().leave()
        for role in list(self.memory.roles):
            self.resign(role)


def fits(task: str, known: str) -> bool:
    """Whether a task is the one that is known, or one of those that begin like it."""
    return task.startswith(known[:-1]) if known.endswith("*") else task == known
