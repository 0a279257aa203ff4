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
from ..errors import JobNotFound, QueueFull
from ..record import (
    FINAL,
    RESCUES,
    Cancelled,
    Failed,
    Fault,
    JobRecord,
    Line,
    Progress,
    Released,
    State,
    Succeeded,
)
from .base import (
    LINES_KEPT,
    Claim,
    Mark,
    NewJob,
    Presence,
    Report,
    Settlement,
    Store,
    Turn,
)


class MemoryPresence(Presence):
    """A worker that is alive until it leaves, or until a test lets it ``die``."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.alive = True
        self.noted: set[tuple[str, int]] = set()

    def started(self, claim: Claim) -> bool:
        self.noted.add((claim.id, claim.fence))
        return True

    def leave(self) -> None:
        self.alive = False

    die = leave


class Entry(Struct):
    """A job with what a record leaves out."""

    record: JobRecord
    arguments: bytes
    result: bytes | None = None
    lines: list[Line] = []


@dataclass
class Memory:
    """What the stores of one namespace share."""

    entries: dict[str, Entry] = field(default_factory=dict)
    presences: dict[str, MemoryPresence] = field(default_factory=dict)
    roles: dict[str, MemoryStore] = field(default_factory=dict)
    names: Iterable[int] = field(default_factory=count)
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryStore(Store):
    """Jobs in this process; two stores over one ``Memory`` see the same."""

    def __init__(self, memory: Memory | None = None, clock: Clock | None = None) -> None:
        self.memory = memory or Memory()
        self._entries = self.memory.entries
        self._lock = self.memory.lock
        self._clock = clock or Clock()

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
        now = moment(self.now())
        record = JobRecord(
            id=job.id,
            task=job.task,
            queue=job.queue,
            priority=job.priority,
            state=State.QUEUED,
            version=1,
            fence=0,
            attempt=0,
            crashes=0,
            created_at=now,
            run_at=now if job.run_at is None else moment(job.run_at),
            started_at=None,
            finished_at=None,
            updated_at=now,
            progress=Progress(),
            progressed_at=None,
            cancel_requested=False,
            fault=None,
            worker=None,
            last_line=0,
        )
        return Entry(record, job.arguments)

    def _change(self, entry: Entry, **changes: object) -> None:
        entry.record = replace(
            entry.record,
            version=entry.record.version + 1,
            updated_at=moment(self.now()),
            **changes,
        )

    def _find(self, id: str) -> Entry:
        try:
            return self._entries[id]
        except KeyError:
            raise JobNotFound(id) from None

    def get(self, id: str) -> JobRecord:
        return self._find(id).record

    def marks(self, ids: Collection[str]) -> dict[str, Mark]:
        records = [self._entries[id].record for id in ids if id in self._entries]
        return {each.id: Mark(each.version, each.last_line, each.state) for each in records}

    def find(
        self,
        *,
        state: State | None = None,
        task: str | None = None,
        queue: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[JobRecord]:
        with self._lock:
            records = [entry.record for entry in self._entries.values()]
            if before is not None:
                records = records[: records.index(self.get(before))]
        return [
            record
            for record in reversed(records)
            if state in (None, record.state)
            and task in (None, record.task)
            and queue in (None, record.queue)
        ][:limit]

    def result(self, id: str) -> bytes | None:
        return self._find(id).result

    def lines(self, id: str, after: int = 0, limit: int = LINES_KEPT) -> list[Line]:
        return [line for line in self._find(id).lines if line.id > after][:limit]

    def counters(self) -> dict[tuple[str, State], int]:
        with self._lock:
            records = [entry.record for entry in self._entries.values()]
        return dict(Counter((record.queue, record.state) for record in records))

    def join(self) -> Presence:
        with self._lock:
            presence = MemoryPresence(f"worker-{next(iter(self.memory.names))}")
            self.memory.presences[presence.worker] = presence
        return presence

    def turn(
        self,
        presence: Presence,
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
        return Turn(tuple(claimed), tuple(refused), tuple(cancelling))

    def _held(self, claim: Claim) -> Entry | None:
        entry = self._entries[claim.id]
        held = entry.record.state is State.RUNNING and entry.record.fence == claim.fence
        return entry if held else None

    def _record(self, report: Report) -> bool:
        entry = self._held(report.claim)
        if entry is None:
            return False
        if report.progress is not None:
            self._change(entry, progress=report.progress, progressed_at=moment(self.now()))
        last = entry.record.last_line
        added = [replace(line, id=last + n) for n, line in enumerate(report.lines, 1)]
        entry.lines = (entry.lines + added)[-LINES_KEPT:]
        entry.record = replace(entry.record, last_line=last + len(added))
        return True

    def _settle(self, settlement: Settlement) -> bool:
        entry = self._held(settlement.claim)
        if entry is None:
            return False
        match settlement.outcome:
            case Succeeded(result):
                self._end(entry, State.SUCCEEDED)
                entry.result = result
            case Failed(fault):
                self._end(entry, State.FAILED, fault=fault)
            case Released(started) if not entry.record.cancel_requested:
                self._requeue(entry, attempt=entry.record.attempt - (not started))
            case Released() | Cancelled():
                self._end(entry, State.CANCELLED)
        return True

    def _end(self, entry: Entry, state: State, **changes: object) -> None:
        self._change(entry, state=state, finished_at=moment(self.now()), **changes)

    def _requeue(self, entry: Entry, **changes: object) -> None:
        now = moment(self.now())
        self._change(
            entry, state=State.QUEUED, run_at=now, worker=None, started_at=None, **changes
        )

    def _line(self, queues: Collection[str] | None, tasks: Collection[str]) -> list[Entry]:
        now = moment(self.now())
        ready = [
            entry
            for entry in self._entries.values()
            if entry.record.state is State.QUEUED
            and entry.record.run_at <= now
            and entry.record.task in tasks
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

    def rescue(self) -> int:
        with self._lock:
            dead = [each for each in self.memory.presences.values() if not each.alive]
            return sum(self._rescue(presence) for presence in dead)

    def _rescue(self, presence: MemoryPresence) -> int:
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
        return len(held)

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
        for role in list(self.memory.roles):
            self.resign(role)
