"""Stores as the tests of their contract need them.

A home holds one namespace's jobs: any number of store objects over the same data, a clock to
set, and a way to let a worker die as a ``kill -9`` would.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from flask_backburner.clock import Clock, moment
from flask_backburner.record import (
    Cancelled,
    Crashed,
    Failed,
    Fault,
    Line,
    Outcome,
    Released,
    Retry,
    State,
    Succeeded,
)
from flask_backburner.store.base import Keeping, Presence, Store
from flask_backburner.store.claim import Claim, Settlement
from flask_backburner.store.liveness import FilePresence
from flask_backburner.store.memory import Memory, MemoryPresence, MemoryStore
from flask_backburner.store.new_job import NewJob
from flask_backburner.store.redis import RedisStore
from flask_backburner.store.sqlite import SQLiteStore
from support import redis_server

NOON = 1_700_000_000.0
KEEPING = Keeping(done=1000.0, failed=2000.0)
JITTER = 0.5
DONE = Succeeded(b"1")
BROKEN = Failed(Fault("error", "It broke.", public=True, traceback="line 1"))
AGAIN = Retry(Fault("error", "Not yet."), 5.0)
ENDS = [DONE, BROKEN, AGAIN, Cancelled(), Crashed(), Released(), Released(started=False)]
"""Each way in which an attempt can end."""


class FakeClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = NOON
        self.passed = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.passed

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds
        self.passed += seconds

    def set_forward(self, seconds: float) -> None:
        """Let somebody set the clock, or the machine sleep: no time passes."""
        self.at += seconds


class Home(ABC):
    """Where the jobs of one namespace live during a test."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self._stores: list[Store] = []

    def store(self) -> Store:
        """Another store object over the same data."""
        self._stores.append(self._make())
        return self._stores[-1]

    def close(self) -> None:
        while self._stores:
            self._stores.pop().close()

    @abstractmethod
    def _make(self) -> Store: ...

    @abstractmethod
    def kill(self, presence: Presence) -> None:
        """What is left of a worker when its process is killed."""


class MemoryHome(Home):
    def __init__(self) -> None:
        super().__init__()
        self._memory = Memory()

    def _make(self) -> Store:
        return MemoryStore(self._memory, keeping=KEEPING, clock=self.clock)

    def kill(self, presence: Presence) -> None:
        assert isinstance(presence, MemoryPresence)
        presence.die()


class SQLiteHome(Home):
    def __init__(self, folder: Path, namespace: str = "app", *, durable: bool = False) -> None:
        super().__init__()
        self.path = folder / "jobs.db"
        self._namespace = namespace
        self._durable = durable

    def _make(self) -> Store:
        return SQLiteStore(
            str(self.path),
            self._namespace,
            durable=self._durable,
            keeping=KEEPING,
            clock=self.clock,
        )

    def kill(self, presence: Presence) -> None:
        assert isinstance(presence, FilePresence)
        presence.forget()  # the kernel closes a dead process's descriptors, and no more


class RedisHome(Home):
    """A namespace of its own on the session's Redis, which must be running."""

    # In a test nobody beats, and a slow machine may take its time.
    PATIENCE = 600.0

    def __init__(self, namespace: str = "app") -> None:
        super().__init__()
        self._namespace = f"{namespace}-{secrets.token_hex(6)}"

    def _make(self) -> Store:
        return RedisStore(
            redis_server.shared_url(),
            self._namespace,
            keeping=KEEPING,
            clock=self.clock,
            silence=self.PATIENCE,
            lease=self.PATIENCE,
        )

    def kill(self, presence: Presence) -> None:
        """Its silence has lasted for long enough, and somebody was there to notice."""
        space = f"{{bb:{self._namespace}}}"
        with redis_server.client(redis_server.shared_url()) as redis:
            now = redis.time()[0]
            redis.zadd(f"{space}:workers", {presence.worker: now - self.PATIENCE - 1}, xx=True)
            redis.hset(f"{space}:watch", mapping={"at": now, "since": now - self.PATIENCE})


HOMES: dict[str, Callable[[Path], Home]] = {
    "memory": lambda folder: MemoryHome(),
    "redis": lambda folder: RedisHome(),
    "sqlite": SQLiteHome,
}
"""A home of every store's, in a folder of its own."""


def job(id: str, **options: Any) -> NewJob:
    """A job to add, of the task ``task`` unless another is named."""
    return NewJob(**{"id": id, "task": "task", "arguments": b"[]", **options})


def add(store: Store, *ids: str, **options: Any) -> None:
    """Add jobs by their ids, all with the same options."""
    store.add([job(id, **options) for id in ids], limit=100_000)


def claim(
    store: Store,
    presence: Presence,
    room: int = 100,
    *,
    queues: Collection[str] | None = None,
    tasks: Collection[str] = ("task",),
    alone: bool = False,
) -> list[Claim]:
    """Claim what there is room for."""
    turn = store.turn(presence, room=room, queues=queues, tasks=tasks, alone=alone)
    return list(turn.claimed)


def settle(store: Store, presence: Presence | None, claim: Claim, outcome: Outcome) -> list[Claim]:
    """Settle one claim; gives back what was refused."""
    return list(store.turn(presence, settled=[Settlement(claim, outcome)]).refused)


def finish(
    store: Store, presence: Presence, id: str, outcome: Outcome = DONE, **options: Any
) -> None:
    """A job that was added, claimed and settled."""
    add(store, id, **options)
    settle(store, presence, claim(store, presence)[0], outcome)


def crash(home: Home, store: Store, *, alone: bool = False) -> Claim:
    """A worker dies in the middle of the next job, which is then rescued and may run again."""
    dying = store.join()
    (held,) = claim(store, dying, 1, alone=alone)
    assert dying.started(held)
    home.kill(dying)
    assert store.rescue() == [held.id]
    home.clock.move(JITTER)
    return held


def driven(id: str) -> Claim:
    """What whoever drives an external job shows."""
    return Claim(id, 0, "task", "default", 1, b"")


def lines(*texts: str) -> tuple[Line, ...]:
    """Lines of a log that are not stored yet."""
    return tuple(Line(moment(NOON), "info", text) for text in texts)


def counted(store: Store) -> dict[tuple[str, State], int]:
    """What the counters should say, by counting."""
    return dict(Counter((record.queue, record.state) for record in store.find(limit=100_000)))
