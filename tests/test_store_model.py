"""The memory store as the model of the others: after every step both tell the same.

``MODEL_EXAMPLES=20000`` tries so many histories instead of the few of every run, other ones
each time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from flask_backburner.clock import moment
from flask_backburner.errors import BackburnerError
from flask_backburner.record import (
    FINAL,
    MOVES,
    Cancelled,
    Crashed,
    Failed,
    Fault,
    JobFile,
    JobRecord,
    Line,
    Outcome,
    Progress,
    Reason,
    Released,
    Retry,
    State,
    Succeeded,
)
from flask_backburner.store.base import Presence, Store
from flask_backburner.store.claim import (
    Claim,
    Report,
    Settlement,
    Turn,
)
from support.stores import NOON, Home, MemoryHome, SQLiteHome, counted, job

EXAMPLES = 500
WANTED = int(os.environ.get("MODEL_EXAMPLES", EXAMPLES))

LIMIT = 6
QUEUES = ["default", "mail"]
TASKS = ["app:one", "app:two", "other:one"]
ALIASES = ["first", "second"]
OUTCOMES = [
    Succeeded(b"null"),
    Succeeded(b"1"),
    Failed(Fault("error", "It broke.")),
    Cancelled(),
    Released(),
    Released(started=False),
    Retry(Fault("timeout", "Too slow.")),
    Retry(Fault("error", "Not yet."), 1.5),
]
SAVED: list[tuple[tuple[str, bytes | None], ...]] = [
    (),
    (("value:x", b"1"),),
    (("value:x", b"2"), ("step:y", b"3")),
    (("value:x", None), ("track:1", b"4")),
]
# Behind the half second within which the stores spread what comes back after a crash.
STEP = 1.0
HANG = 5.0


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

    def why_waiting(self, id: str) -> Reason | None:
        """Without what is told by a look at the workers that may be a second old."""
        waiting = self.store.waiting(id)
        return waiting and {Reason.NO_WORKER: Reason.IN_LINE}.get(waiting.reason, waiting.reason)


class Stores(RuleBasedStateMachine):
    """Whatever is done, in whatever order, both stores agree."""

    @staticmethod
    def make_home(folder: Path) -> Home:
        """Where the jobs of the store live that is held against the model."""
        return SQLiteHome(folder)

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.model = Side(MemoryHome())
        self.real = Side(self.make_home(Path(self.folder.name)))
        self.sides = (self.model, self.real)
        self.claims: list[Claim] = []
        self.holders: dict[Claim, int] = {}
        self.dead: set[int] = set()
        self.added = 0
        self.seen: dict[str, JobRecord] = {}
        self.over: dict[str, tuple[State, int]] = {}
        self.join()

    def teardown(self) -> None:
        if hasattr(self, "sides"):
            for side in self.sides:
                side.home.close()
            self.folder.cleanup()

    def both(self, do: Callable[[Side], Any]) -> Any:
        """Do the same on both sides; both answer the same, be it an error."""
        model, real = (_answer(do, side) for side in self.sides)
        assert real == model
        return model

    def join(self) -> None:
        for side in self.sides:
            side.workers.append(side.store.join())

    @rule(
        many=st.integers(1, 3),
        queue=st.sampled_from(QUEUES),
        task=st.sampled_from(TASKS),
        priority=st.integers(-1, 1),
        wait=st.sampled_from([None, None, None, -5.0, 0.0, 2.0]),
        patience=st.sampled_from([None, None, None, None, 0.0, 2.0]),
        retries=st.integers(0, 2),
        rescues=st.sampled_from([3, 3, 0, 1]),
        aliases=st.lists(st.sampled_from([None, None, None, *ALIASES]), min_size=3, max_size=3),
    )
    def add(
        self, many: int, wait: float | None, patience: float | None, aliases: list[str], **same: Any
    ) -> None:
        now = self.model.home.clock.now()
        jobs = [
            job(
                f"j{self.added + n}",
                run_at=None if wait is None else now + wait,
                start_by=None if patience is None else now + patience,
                alias=aliases[n],
                **same,
            )
            for n in range(many)
        ]
        if self.both(lambda side: len(side.store.add(jobs, LIMIT))) == many:
            self.added += many

    @rule(queue=st.sampled_from(QUEUES), deadline=st.sampled_from([None, 3.0]))
    def add_external(self, queue: str, deadline: float | None) -> None:
        new = job(f"j{self.added}", queue=queue, external=True, deadline=deadline)
        if self.both(lambda side: len(side.store.add([new], LIMIT))) == 1:
            self.added += 1
            self.claims.append(Claim(new.id, 0, new.task, queue, 1, b""))

    @rule(data=st.data(), room=st.integers(1, 3), start=st.booleans())
    def work(self, data: st.DataObject, room: int, start: bool) -> None:
        """A worker claims what there is, else what must run alone, and perhaps begins it."""
        worker = data.draw(st.sampled_from(self.living))
        for claim in self.turned(worker, room=room, tasks=TASKS) or self.turned(
            worker, room=1, tasks=TASKS, alone=True
        ):
            if start:
                self.both(lambda side, claim=claim: side.workers[worker].started(claim))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), worked=st.booleans())
    def settle(self, data: st.DataObject, outcome: Outcome, worked: bool) -> None:
        """An attempt ends; its worker may take the next jobs in the same turn."""
        claim = data.draw(st.sampled_from(self.claims[-4:]))
        holder = self.holders.get(claim)
        worker = holder if holder in self.living else None
        self.turned(worker, settled=[Settlement(claim, outcome)], room=int(worked), tasks=TASKS)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), number=st.integers(0, 9))
    def report(self, data: st.DataObject, number: int) -> None:
        """A job has news; its thread says so without its worker."""
        claim = data.draw(st.sampled_from(self.claims[-4:]))
        self.turned(None, reports=[_report(claim, number)])

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), count=st.integers(1, 3), then=st.booleans())
    def process_dies(self, data: st.DataObject, count: int, then: bool) -> None:
        """The processes of some jobs die, but not their worker."""
        crashed = [Settlement(claim, Crashed()) for claim in self.claims[-count:]]
        self.turned(None, settled=crashed)
        self.wait(STEP)
        if then:
            self.turned(data.draw(st.sampled_from(self.living)), room=1, tasks=TASKS, alone=True)

    @rule(
        data=st.data(),
        room=st.integers(0, 3),
        queues=st.sampled_from([None, ["mail"], QUEUES]),
        tasks=st.sampled_from([["app:*"], TASKS, ["app:one", "other*"]]),
        alone=st.booleans(),
    )
    def turn(self, data: st.DataObject, **wish: Any) -> None:
        """Anybody's turn, with news of any claim there ever was."""
        worker = data.draw(st.sampled_from([None, *self.living]))
        settled = [
            Settlement(claim, data.draw(st.sampled_from(OUTCOMES)))
            for claim in self.some_claims(data)
        ]
        reports = [_report(claim, data.draw(st.integers(0, 9))) for claim in self.some_claims(data)]
        self.turned(worker, settled=settled, reports=reports, **wish)

    @property
    def living(self) -> list[int]:
        return [worker for worker in range(len(self.model.workers)) if worker not in self.dead]

    def some_claims(self, data: st.DataObject) -> list[Claim]:
        if not self.claims:
            return []
        return data.draw(st.lists(st.sampled_from(self.claims), max_size=3, unique_by=_name))

    def turned(self, worker: int | None, **turn: Any) -> tuple[Claim, ...]:
        """Let a worker, or nobody, have its turn; gives back what it claimed."""

        def take(side: Side) -> tuple[Any, ...]:
            presence = None if worker is None else side.workers[worker]
            return _in_any_order(side.store.turn(presence, **turn))

        claimed: tuple[Claim, ...] = self.both(take)[0]
        if worker is not None:
            self.holders.update(dict.fromkeys(claimed, worker))
        self.claims += claimed
        return claimed

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """A worker begins a job, that it may have lost long ago."""
        held = [claim for claim, worker in self.holders.items() if worker not in self.dead]
        if held:
            claim = data.draw(st.sampled_from(held))
            self.both(lambda side: side.workers[self.holders[claim]].started(claim))

    @rule(data=st.data(), noticed=st.booleans())
    def die(self, data: st.DataObject, noticed: bool) -> None:
        """A worker dies, and somebody starts another."""
        worker = data.draw(st.sampled_from(self.living))
        self.dead.add(worker)
        for side in self.sides:
            side.home.kill(side.workers[worker])
        self.join()
        if noticed:
            self.rescue(1, None)

    @rule(looks=st.sampled_from([1, 1, 6]), hang=st.sampled_from([None, HANG, HANG]))
    def rescue(self, looks: int, hang: float | None) -> None:
        """Upkeep looks once, or for so long that who shows no beat meanwhile hangs."""
        for _ in range(looks):
            self.both(lambda side: sorted(side.store.rescue(hang)))
            self.wait(STEP, beats=looks == 1)

    @rule(seconds=st.sampled_from([STEP, STEP, 2 * STEP, 600.0, 1500.0]), beats=st.booleans())
    def wait(self, seconds: float, beats: bool = True) -> None:
        """Time passes; the living show that they live, or do not."""
        for side in self.sides:
            side.home.clock.move(seconds)
            for worker in self.living if beats else ():
                side.workers[worker].beat()

    @precondition(lambda self: self.added)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.ids))
        self.both(lambda side: side.store.request_cancel(id).version)

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.over) if data.draw(st.booleans()) else self.ids))
        if self.both(lambda side: side.store.retry(id).state) is State.QUEUED:
            del self.over[id], self.seen[id]

    @property
    def ids(self) -> list[str]:
        """Of all jobs there ever were, and of one that never was."""
        return [f"j{number}" for number in range(self.added + 1)]

    @rule(what=st.sampled_from(["pause", "resume", "resume", "purge", "purge all", "reopen"]))
    def tend(self, what: str) -> None:
        """What operators and upkeep do now and then."""
        now = self.model.home.clock.now()
        if what in ("pause", "resume"):
            self.both(lambda side: side.store.pause("mail", what == "pause"))
        elif what == "reopen":  # the workers of the old store object live as long as it
            for side in self.sides:
                side.store = side.home.store()
        else:
            before = now if what == "purge all" else None
            for id in self.both(lambda side: sorted(side.store.purge(100, before))):
                self.seen.pop(id, None)

    @invariant()
    def both_tell_the_same(self) -> None:
        self.both(lambda side: side.records())
        self.both(lambda side: side.store.marks(list(self.seen)))
        self.both(lambda side: side.store.paused())
        for alias in ALIASES:
            self.both(lambda side, alias=alias: side.store.named(alias))
        for id in [id for id, record in self.seen.items() if not record.done]:
            self.both(lambda side, id=id: side.store.result(id))
            self.both(lambda side, id=id: side.store.lines(id))
            self.both(lambda side, id=id: side.store.files(id))
            self.both(lambda side, id=id: side.store.saved(id))
            self.both(lambda side, id=id: side.why_waiting(id))

    @invariant()
    def counters_are_counts(self) -> None:
        assert self.real.store.counters() == counted(self.real.store)
        assert self.model.store.counters() == counted(self.model.store)

    @invariant()
    def jobs_move_only_as_they_may(self) -> None:
        for record in self.real.store.find(limit=1000):
            before = self.seen.get(record.id)
            self.seen[record.id] = record
            if record.state in FINAL:
                end = record.state, record.version
                assert self.over.setdefault(record.id, end) == end
            if before is not None:
                assert record.fence >= before.fence
                assert record.last_line >= before.last_line
                assert _reachable(before, record)
                if replace(record, last_line=before.last_line) != before:
                    assert record.version > before.version


def _reachable(before: JobRecord, after: JobRecord) -> bool:
    """Whether the allowed moves lead there, one for each that the version counts."""
    states = {before.state}
    for _ in range(after.version - before.version):
        states |= {state for origin in states for state in MOVES[origin]}
    return after.state in states


def _answer(do: Callable[[Side], Any], side: Side) -> Any:
    try:
        return do(side)
    except BackburnerError as error:
        return type(error), getattr(error, "id", None)


def _name(claim: Claim) -> tuple[str, int]:
    return claim.id, claim.fence


def _report(claim: Claim, number: int) -> Report:
    return Report(
        claim,
        Progress(number, 9, "half") if number % 2 else None,
        tuple(Line(moment(NOON), "info", str(n)) for n in range(number % 4)),
        (JobFile(f"{number}.csv", "text/csv", number),) if number > 6 else (),
        SAVED[number % 4],
        overdue=number == 5,
    )


def _in_any_order(turn: Turn) -> tuple[Any, ...]:
    refused = sorted(map(_name, turn.refused))
    return turn.claimed, refused, sorted(turn.cancelling)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=WANTED == EXAMPLES,
        suppress_health_check=list(HealthCheck),
    )


TestSQLite = Stores.TestCase
TestSQLite.settings = _settings(WANTED)
