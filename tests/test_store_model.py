"""The memory store as the model of the SQLite store: after every step both tell the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from flask_backburner.clock import moment
from flask_backburner.errors import QueueFull
from flask_backburner.record import (
    MOVES,
    Cancelled,
    Failed,
    Fault,
    JobFile,
    JobRecord,
    Line,
    Progress,
    Released,
    Succeeded,
)
from flask_backburner.store.base import Claim, Presence, Report, Settlement, Store, Turn
from support.stores import NOON, Home, MemoryHome, SQLiteHome, counted, job

LIMIT = 6
QUEUES = ["default", "mail"]
TASKS = ["app:one", "app:two", "other:one"]
OUTCOMES = [
    Succeeded(b"null"),
    Succeeded(b"1"),
    Failed(Fault("error", "It broke.")),
    Cancelled(),
    Released(),
    Released(started=False),
]
# Behind the half second within which SQLite spreads what it rescues.
STEP = 1.0


class Side:
    """One store with its workers, by the machine's numbers for them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.store: Store = home.store()
        self.workers: list[Presence] = []

    def shown(self, worker: str | None) -> int | None:
        names = [presence.worker for presence in self.workers]
        return None if worker is None else names.index(worker)

    def records(self) -> list[object]:
        return [self._comparable(record) for record in self.store.find(limit=1000)]

    def _comparable(self, record: JobRecord) -> object:
        fault = record.fault and record.fault.code
        run_at = None if record.crashes else record.run_at  # spread by chance
        plain = replace(record, worker=None, fault=None, run_at=moment(0))
        return plain, fault, run_at, self.shown(record.worker)


class Stores(RuleBasedStateMachine):
    """Whatever is done, in whatever order, both stores agree."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.model = Side(MemoryHome())
        self.real = Side(SQLiteHome(Path(self.folder.name)))
        self.sides = (self.model, self.real)
        self.claims: list[Claim] = []
        self.dead: set[int] = set()
        self.added = 0
        self.seen: dict[str, JobRecord] = {}
        self.join()

    def teardown(self) -> None:
        if hasattr(self, "sides"):
            for side in self.sides:
                side.home.close()
            self.folder.cleanup()

    @rule()
    def join(self) -> None:
        for side in self.sides:
            side.workers.append(side.store.join())

    @rule(
        many=st.integers(1, 3),
        queue=st.sampled_from(QUEUES),
        task=st.sampled_from(TASKS),
        priority=st.integers(-1, 1),
        wait=st.sampled_from([None, -5.0, 0.0, 2.0]),
        external=st.booleans(),
    )
    def add(
        self,
        many: int,
        queue: str,
        task: str,
        priority: int,
        wait: float | None,
        external: bool,
    ) -> None:
        now = self.model.home.clock.now()
        jobs = [
            job(
                f"j{self.added + n}",
                queue=queue,
                task=task,
                priority=priority,
                run_at=None if wait is None else now + wait,
                external=external,
                deadline=3.0 if external else None,
            )
            for n in range(many)
        ]
        full = []
        for side in self.sides:
            try:
                side.store.add(jobs, LIMIT)
            except QueueFull as error:
                full.append(error.queued)
        assert len(full) in (0, 2)
        assert len(set(full)) <= 1
        if not full:
            self.added += many
            if external:
                self.claims += [Claim(each.id, 0, task, queue, 1, b"") for each in jobs]

    @rule(
        data=st.data(),
        room=st.integers(0, 3),
        queues=st.sampled_from([None, ["mail"], QUEUES]),
        tasks=st.sampled_from([["app:*"], TASKS, ["app:one", "other*"]]),
    )
    def turn(
        self, data: st.DataObject, room: int, queues: list[str] | None, tasks: list[str]
    ) -> None:
        living = sorted(set(range(len(self.model.workers))) - self.dead)
        if not living:
            return
        worker = data.draw(st.sampled_from(living))
        chosen = st.lists(
            st.sampled_from(self.claims), max_size=3, unique_by=lambda c: (c.id, c.fence)
        )
        settled = [
            Settlement(claim, data.draw(st.sampled_from(OUTCOMES)))
            for claim in (data.draw(chosen) if self.claims else [])
        ]
        reports = [
            self._report(claim, data.draw(st.integers(0, 9)))
            for claim in (data.draw(chosen) if self.claims else [])
        ]
        turns = [
            side.store.turn(
                side.workers[worker],
                settled=settled,
                reports=reports,
                room=room,
                queues=queues,
                tasks=tasks,
            )
            for side in self.sides
        ]
        model, real = map(_in_any_order, turns)
        assert real == model
        for claim in turns[0].claimed:
            if data.draw(st.booleans()):
                started = [side.workers[worker].started(claim) for side in self.sides]
                assert started == [True, True]
        self.claims += turns[0].claimed

    def _report(self, claim: Claim, number: int) -> Report:
        return Report(
            claim,
            Progress(number, 9, "half") if number % 2 else None,
            tuple(Line(moment(NOON), "info", str(n)) for n in range(number % 4)),
            (JobFile(f"{number}.csv", "text/csv", number),) if number > 6 else (),
        )

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.added:
            id = f"j{data.draw(st.integers(0, self.added - 1))}"
            for side in self.sides:
                side.store.request_cancel(id)

    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        worker = data.draw(st.integers(0, len(self.model.workers) - 1))
        self.dead.add(worker)
        for side in self.sides:
            side.home.kill(side.workers[worker])

    @rule()
    def rescue(self) -> None:
        rescued = [side.store.rescue() for side in self.sides]
        assert sorted(rescued[0]) == sorted(rescued[1])
        for side in self.sides:
            side.home.clock.move(STEP)

    @rule()
    def wait(self) -> None:
        for side in self.sides:
            side.home.clock.move(STEP)

    @rule()
    def reopen(self) -> None:
        """Another store object goes on; the workers of the first one live as long as it."""
        for side in self.sides:
            side.store = side.home.store()

    @invariant()
    def both_tell_the_same(self) -> None:
        assert self.real.records() == self.model.records()
        ids = list(self.seen)
        assert self.real.store.marks(ids) == self.model.store.marks(ids)
        for id in ids:
            assert self.real.store.result(id) == self.model.store.result(id)
            assert self.real.store.lines(id) == self.model.store.lines(id)
            assert self.real.store.files(id) == self.model.store.files(id)

    @invariant()
    def counters_are_counts(self) -> None:
        assert self.real.store.counters() == counted(self.real.store)
        assert self.model.store.counters() == counted(self.model.store)

    @invariant()
    def jobs_move_only_as_they_may(self) -> None:
        for record in self.real.store.find(limit=1000):
            before = self.seen.get(record.id)
            self.seen[record.id] = record
            if before is None:
                continue
            assert record.fence >= before.fence
            assert record.last_line >= before.last_line
            if replace(record, last_line=before.last_line) != before:
                assert record.version > before.version
            assert _reachable(before, record)


def _reachable(before: JobRecord, after: JobRecord) -> bool:
    """Whether the allowed moves lead there, one for each that the version counts."""
    states = {before.state}
    for _ in range(after.version - before.version):
        states |= {state for origin in states for state in MOVES[origin]}
    return after.state in states


def _in_any_order(turn: Turn) -> tuple[object, ...]:
    refused = sorted((claim.id, claim.fence) for claim in turn.refused)
    return turn.claimed, refused, sorted(turn.cancelling)


TestStores = Stores.TestCase
TestStores.settings = settings(
    max_examples=500,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
