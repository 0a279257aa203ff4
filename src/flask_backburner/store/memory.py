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
from ..errors import JobForgotten, JobNotFound, QueueFull
from ..record import (
    FINAL,
    RESCUES,
    Cancelled,
    Failed,
    Fault,
    JobFile,
    JobRecord,
    Line,
    Progress,
    Reason,
    Released,
    ResultKind,
    State,
    Succeeded,
    Waiting,
)
from .base import (
    COUNTED,
    LINES_KEPT,
    PATIENCE_FOR_WORKER,
    TOMBSTONES_KEPT,
    Claim,
    Keeping,
    Mark,
    NewJob,
    Presence,
    Report,
    Settlement,
    Store,
    Turn,
    WorkerInfo,
    new_record,
)


class MemoryPresence(Presence):
    """A worker that is alive until it leaves, or until a test lets it ``die``."""

    def __init__(self, info: WorkerInfo) -> None:
        self.worker = info.worker
        self.info = info
        self.alive = True
        self.held: set[Claim] = set()
        self.noted: set[tuple[str, int]] = set()

    def started(self, claim: Claim) -> bool:
        if claim in self.held:
            self.noted.add((claim.id, claim.fence))
        return claim in self.held

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


@dataclass
class Memory:
    """What the stores of one namespace share."""

    entries: dict[str, Entry] = field(default_factory=dict)
    tombstones: dict[str, tuple[float, str | None]] = field(default_factory=dict)
    presences: dict[str, MemoryPresence] = field(default_factory=dict)
    roles: dict[str, MemoryStore] = field(default_factory=dict)
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
        self._joined: list[Presence] = []

    def now(self) -> float:
        return self._clock.now()

    def add(self, jobs: Sequence[NewJob], limit: int) -> list[JobRecord]:
        with self._lock:
            queued = sum(entry.record.state is State.QUEUED for entry in self._entries.values())
            if queued + len(jobs) > limit:
                raise QueueFull(queued, limit)
            entries = [self._entry(job) for job in jobs]
            self._entries.update((entry.record.id, entry) for entry in entries)
        return [entry.record for entry in entries]

    def _entry(self, job: NewJob) -> Entry:
        record = new_record(job, self.now())
        return Entry(record, job.arguments, deadline=job.deadline, heard_at=self.now())

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
                return Waiting(Reason.SCHEDULED, None, round(left, 1))
            line = [entry.record.id for entry in self._line({record.queue}, ("*",))]
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
    ) -> Turn:
        with self._lock:
            refused = [each.claim for each in reports if not self._record(each)]
            refused += [each.claim for each in settled if not self._settle(each)]
            if presence is None:
                return Turn(refused=tuple(refused))
            claimed = [
                self._claim(entry, presence) for entry in self._line(queues, tasks)[: max(0, room)]
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
            case Released() | Cancelled():
                self._end(entry, State.CANCELLED)
        return True

    def _end(self, entry: Entry, state: State, **changes: object) -> None:
        keep = self._keeping.failed if state is State.FAILED else self._keeping.done
        self._change(
            entry,
            state=state,
            finished_at=moment(self.now()),
            kept_until=moment(self.now() + keep),
            **changes,
        )

    def _requeue(self, entry: Entry, **changes: object) -> None:
        now = moment(self.now())
        self._change(entry, state=State.QUEUED, run_at=now, worker=None, started_at=None, **changes)

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
        )
        record = entry.record
        return Claim(
            record.id, record.fence, record.task, record.queue, record.attempt, entry.arguments
        )

    def request_cancel(self, id: str) -> JobRecord:
        with self._lock:
            entry = self._find(id)
            if entry.record.state is State.QUEUED:
                self._end(entry, State.CANCELLED, cancel_requested=True)
            elif entry.record.state is State.RUNNING and not entry.record.cancel_requested:
                self._change(entry, cancel_requested=True)
            return entry.record

    def rescue(self) -> list[str]:
        with self._lock:
            dead = [each for each in self.memory.presences.values() if not each.alive]
            rescued = [id for presence in dead for id in self._rescue(presence)]
            return rescued + self._give_up_silent()

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

    def _rescue(self, presence: MemoryPresence) -> list[str]:
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
            elif record.crashes >= RESCUES:
                lost = Fault("lost", "The worker died while it ran this job.")
                self._end(entry, State.FAILED, fault=lost, crashes=record.crashes + 1)
            else:
                self._requeue(entry, crashes=record.crashes + 1)
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
            for id in ids:
                self.memory.tombstones[id] = (now, self._entries.pop(id).record.owner)
            for id, (forgotten_at, _) in list(self.memory.tombstones.items()):
                if forgotten_at < now - TOMBSTONES_KEPT:
                    del self.memory.tombstones[id]
        return ids

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
