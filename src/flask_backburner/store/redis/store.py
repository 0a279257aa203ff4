"""RedisStore: jobs in Redis, shared by any number of machines."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from math import inf
from typing import Any

from msgspec import Struct, json

from ...clock import Clock, moment
from ...errors import (
    AliasTaken,
    JobForgotten,
    JobNotFound,
    JobNotRetryable,
    QueueFull,
    StoreError,
)
from ...record import JobFile, JobRecord, Line, ResultKind, State, Waiting
from ..base import (
    LINES_KEPT,
    TOMBSTONES_KEPT,
    Keeping,
    Mark,
    Presence,
    Store,
    WorkerInfo,
)
from ..claim import (
    Claim,
    Report,
    Settlement,
    Turn,
)
from ..new_job import NewJob, new_record
from ..silence import Silence
from .diagnosis import RUNNING_READ, SAMPLE, diagnose
from .faults import EXPIRED, LOST, RESCUE_JITTER, SILENT
from .fields import pairs, read_claim, read_record
from .listing import find
from .parcel import NULL, Parcel
from .presence import BEAT_SECONDS, SILENCE_SECONDS, RedisPresence, described
from .roles import LEASE_SECONDS, Roles
from .server import Server, eviction_risk
from .space import Space, texts

PATIENT_FROM = 1000
"""So many new jobs at once may keep Redis busy for longer than a view should wait."""

AT_ONCE = 200
"""So many jobs a script takes up or forgets at most, lest others wait for it."""

CLAIMED_AT_ONCE = 500
MARKED_AT_ONCE = 500

WATCH_GAP = 6.0
WATCH_GRACE = 3.0
"""After so long a gap in which nobody looked, everybody has this long to show a beat."""


SHORTEST_HANG = 2 * BEAT_SECONDS
"""Who lives is not silent for longer."""


class Tombstone(Struct, frozen=True):
    """What is left of a forgotten job."""

    at: float
    owner: str | None = None


class RedisStore(Store):
    """Jobs in the Redis at ``url``, those of one ``namespace``.

    They are as durable as that Redis is: its ``appendonly`` decides. A ``silence`` of so many
    seconds is the death of a worker, and for ``lease`` seconds somebody holds a role who does
    not ask for it again.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        *,
        keeping: Keeping | None = None,
        clock: Clock | None = None,
        silence: float = SILENCE_SECONDS,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self.namespace = namespace
        self._clock = clock or Clock()
        self._keeping = keeping or Keeping()
        self._silence_seconds = silence
        self._server = Server(url)
        self._space = Space(self._server, namespace, self._clock)
        self._roles = Roles(self._space, lease)
        self._silence = Silence(self._clock)
        self._joined: list[RedisPresence] = []

    def eviction_risk(self) -> str | None:
        """What to do if this Redis may throw jobs away when its memory is full; else ``None``."""
        return eviction_risk(self._server.about(), self._server.place)

    def now(self) -> float:
        return self._space.asked_when()[0]

    def add(self, jobs: Sequence[NewJob], limit: int) -> list[JobRecord]:
        parcel = Parcel()
        how, said = self._space.run(
            "add",
            parcel,
            repeatable=True,
            patient=len(jobs) > PATIENT_FROM,
            jobs=[parcel.new_job(job) for job in jobs],
            limit=limit,
        )
        if how == b"full":
            raise QueueFull(said, limit)
        if how == b"taken":
            raise AliasTaken(said.decode())
        return [new_record(job, float(said)) for job in jobs]

    def get(self, id: str) -> JobRecord:
        key = self._space.key
        now, (fields, gone) = self._space.asked_when(
            ("HGETALL", key("job", id)), ("GET", key("gone", id))
        )
        return self._told(id, fields, gone, now)

    def _told(self, id: str, fields: Any, gone: bytes | None, now: float) -> JobRecord:
        if not fields:
            raise _unknown(id, gone, now)
        record = read_record(id, pairs(fields))
        if record.kept_until is not None and record.kept_until <= moment(now):
            raise JobForgotten(id, record.owner)
        return record

    def _unknown(self, id: str) -> JobNotFound:
        now, (gone,) = self._space.asked_when(("GET", self._space.key("gone", id)))
        return _unknown(id, gone, now)

    def named(self, alias: str) -> str:
        (id,) = self._space.ask(("HGET", self._space.key("aliases"), alias))
        if id is None:
            raise JobNotFound(alias)
        return str(id.decode())

    def marks(self, ids: Collection[str]) -> dict[str, Mark]:
        asked = list(ids)
        answers = [
            answer
            for start in range(0, len(asked), MARKED_AT_ONCE)
            for answer in self._space.run(
                "marks", repeatable=True, ids=asked[start : start + MARKED_AT_ONCE]
            )
        ]
        return {
            id: Mark(int(version), int(last_line or 0), State(state.decode()))
            for id, (version, last_line, state) in zip(asked, answers, strict=True)
            if state is not None
        }

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
        wanted = {"state": state, "task": task, "queue": queue, "owner": owner}
        chosen = {field: value for field, value in wanted.items() if value is not None}
        end = inf if before is None else self._number(before)
        return find(self._space, chosen, limit, end)

    def _number(self, id: str) -> int:
        (number,) = self._space.ask(("HGET", self._space.key("job", id), "seq"))
        if number is None:
            raise self._unknown(id)
        return int(number)

    def result(self, id: str) -> tuple[ResultKind, bytes] | None:
        key = self._space.key
        (state, kind), data = self._space.ask(
            ("HMGET", key("job", id), "state", "kind"), ("GET", key("result", id))
        )
        if state != b"succeeded":
            return None
        return ResultKind(kind.decode()), NULL if data is None else data

    def saved(self, id: str) -> dict[str, bytes]:
        (saved,) = self._space.ask(("HGETALL", self._space.key("saved", id)))
        return pairs(saved)

    def files(self, id: str) -> list[JobFile]:
        key = self._space.key
        exists, files = self._space.ask(("EXISTS", key("job", id)), ("HGETALL", key("files", id)))
        if not exists:
            raise self._unknown(id)
        return [
            JobFile(name, *json.decode(told, type=tuple[str, int]))
            for name, told in sorted(pairs(files).items())
        ]

    def waiting(self, id: str) -> Waiting | None:
        found, *facts = self._space.run(
            "waiting",
            repeatable=True,
            id=id,
            silence=self._silence_seconds,
            sample=SAMPLE,
            running=RUNNING_READ,
        )
        if not found:
            raise self._unknown(id)
        return diagnose(facts) if facts else None

    def oldest_queued(self) -> dict[str, float]:
        now, *told = self._space.run("oldest", repeatable=True)
        return {queue: max(0.0, float(now) - float(since)) for queue, since in pairs(told).items()}

    def workers(self) -> list[WorkerInfo]:
        told = self._space.run("living", repeatable=True, silence=self._silence_seconds)
        return [json.decode(each, type=WorkerInfo) for each in told]

    def check_writable(self) -> None:
        self._space.run("check", repeatable=True)

    def lines(self, id: str, after: int = 0, limit: int = LINES_KEPT) -> list[Line]:
        told = self._space.run("lines", repeatable=True, id=id, after=after, limit=limit)
        if told is None:
            raise self._unknown(id)
        first, kept = told
        decoded = (json.decode(each, type=tuple[float, str, str]) for each in kept)
        return [
            Line(moment(at), level, text, number)
            for number, (at, level, text) in enumerate(decoded, first)
        ]

    def counters(self) -> dict[tuple[str, State], int]:
        (counters,) = self._space.ask(("HGETALL", self._space.key("counters")))
        told = {tuple(field.split(":", 1)): int(jobs) for field, jobs in pairs(counters).items()}
        return {(queue, State(state)): jobs for (state, queue), jobs in told.items() if jobs}

    def join(self, threads: int = 1, queues: Collection[str] | None = None) -> Presence:
        presence = RedisPresence(self._space, self._roles, described(threads, queues), self._clock)
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
        given: dict[str, Any] = {}
        if presence is None:
            turn = self._turn(settled, reports, given)
        else:
            assert isinstance(presence, RedisPresence)
            with presence.turning() as number:
                turn = self._turn(
                    settled,
                    reports,
                    {
                        "worker": presence.worker,
                        "told": presence.told,
                        "turn": number,
                        "room": min(room, CLAIMED_AT_ONCE),
                        "queues": None if queues is None else sorted(set(queues)),
                        "tasks": sorted(set(tasks)),
                        "alone": alone,
                    },
                )
                presence.hold(turn.claimed)
        self._let_go([*turn.refused, *(entry.claim for entry in settled)])
        return turn

    def _turn(
        self, settled: Sequence[Settlement], reports: Sequence[Report], given: dict[str, Any]
    ) -> Turn:
        parcel = Parcel()
        answer = self._space.run(
            "turn",
            parcel,
            reports=[parcel.report(report) for report in reports],
            settled=[parcel.settlement(entry) for entry in settled],
            **self._ways_to_end(),
            **given,
        )
        stale_reports, stale_settled, claimed, cancelling = answer
        return Turn(
            tuple(read_claim(each) for each in claimed),
            (
                *(reports[n].claim for n in stale_reports),
                *(settled[n].claim for n in stale_settled),
            ),
            tuple(texts(cancelling)),
        )

    def _ways_to_end(self) -> dict[str, Any]:
        """What a script is given that may end jobs."""
        return {
            "keep": {
                "done": self._keeping.done,
                "failed": self._keeping.failed,
                "bytes": self._keeping.bytes,
            },
            "lost": LOST,
            "jitter": RESCUE_JITTER,
            "seed": random.getrandbits(31),
        }

    def _let_go(self, claims: Iterable[Claim]) -> None:
        """Whoever settled them, none of this store's workers holds these claims any more."""
        gone = list(claims)
        for presence in self._joined if gone else ():
            presence.drop(gone)

    def request_cancel(self, id: str) -> JobRecord:
        told = self._space.run("cancel", repeatable=True, id=id, **self._ways_to_end())
        return self._told_by_script(id, told)

    def _told_by_script(self, id: str, told: Sequence[Any]) -> JobRecord:
        fields, gone, now = told
        return self._told(id, fields, gone, float(now))

    def retry(self, id: str) -> JobRecord:
        done, told = self._space.run("retry", id=id)
        record = self._told_by_script(id, told)
        if not done:
            raise JobNotRetryable(id, record.state, " and an external job" * record.external)
        return record

    def pause(self, queue: str, on: bool) -> None:
        self._space.run("pause", repeatable=True, queue=queue, on=on)

    def paused(self) -> frozenset[str]:
        (queues,) = self._space.ask(("SMEMBERS", self._space.key("paused")))
        return frozenset(texts(queues))

    def rescue(self, hang: float | None = None) -> list[str]:
        rescued: list[str] = []
        hung = [] if hang is None else self._hung(hang)
        while True:
            some = texts(
                self._space.run(
                    "rescue",
                    limit=AT_ONCE,
                    hung=hung,
                    silence=self._silence_seconds,
                    gap=WATCH_GAP,
                    grace=WATCH_GRACE,
                    unheard=SILENT,
                    expired=EXPIRED,
                    **self._ways_to_end(),
                )
            )
            rescued += some
            if len(some) < AT_ONCE:
                return rescued

    def bury(self, worker: str) -> None:
        self._space.run("leave", repeatable=True, worker=worker)

    def vouch(self, worker: str) -> None:
        self._space.run("vouch", repeatable=True, worker=worker)

    def _hung(self, hang: float) -> list[str]:
        (beats,) = self._space.ask(("ZRANGE", self._space.key("workers"), 0, -1, "WITHSCORES"))
        counts = (round(float(at) * 1e6) for at in beats[1::2])
        limit = max(hang, SHORTEST_HANG)
        return self._silence.longer_than(limit, zip(texts(beats[::2]), counts, strict=True))

    def purge(self, limit: int, before: float | None = None) -> list[str]:
        forgotten: list[str] = []
        while len(forgotten) < limit:
            most = min(AT_ONCE, limit - len(forgotten))
            some = texts(
                self._space.run(
                    "purge",
                    limit=most,
                    before=before,
                    tombstone=int(TOMBSTONES_KEPT),
                    **self._ways_to_end(),
                )
            )
            forgotten += some
            if len(some) < most:
                break
        return forgotten

    def forget(self, id: str) -> bool:
        forgotten = self._space.run(
            "purge", limit=1, id=id, tombstone=int(TOMBSTONES_KEPT), **self._ways_to_end()
        )
        return bool(forgotten)

    def elect(self, role: str) -> bool:
        return self._roles.elect(role)

    def resign(self, role: str) -> None:
        self._roles.resign(role)

    def tend(self) -> None:
        """Nothing to do: Redis keeps its own house."""

    def close(self) -> None:
        while self._joined:
            self._joined.pop().leave()
        for role in self._roles.held:
            with suppress(StoreError):  # it goes by itself when its lease is over
                self._roles.resign(role)
        self._server.close()


def _unknown(id: str, gone: bytes | None, now: float) -> JobNotFound:
    """The error for a job that is not there, by the tombstone that is."""
    if gone is None:
        return JobNotFound(id)
    tombstone = json.decode(gone, type=Tombstone)
    if tombstone.at < now - TOMBSTONES_KEPT:
        return JobNotFound(id)
    return JobForgotten(id, tombstone.owner)
