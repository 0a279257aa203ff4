"""A worker's presence on Redis: beats, and what it knows of the jobs in its hands."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

from msgspec import json

from ...clock import Clock
from ...errors import StoreError
from ..base import Presence, WorkerInfo
from ..claim import Claim
from .roles import Roles
from .space import Space, texts

BEAT_SECONDS = 2.0
SILENCE_SECONDS = 8.0
"""Whoever has shown no beat for so long is dead."""


class RedisPresence(Presence):
    """A worker that beats every two seconds.

    It knows which claims it was given, so that Redis, when it holds others for this worker (the
    answer to a turn was lost, or Redis went back to older data), gets them back into the line.
    """

    def __init__(self, space: Space, roles: Roles, info: WorkerInfo, clock: Clock) -> None:
        self.worker = info.worker
        self.told = json.encode(info).decode()
        self._space = space
        self._roles = roles
        self._clock = clock
        self._pid = os.getpid()
        self._beat_at = clock.monotonic()
        self._knowing = threading.Lock()
        self._known: dict[str, int] = {}
        self._numbers = count(1)
        self._open_turns: set[int] = set()
        self._beat()

    @contextmanager
    def turning(self) -> Iterator[int]:
        """The number of a turn; until its answer is here, nothing of it is missed."""
        with self._knowing:
            number = next(self._numbers)
            self._open_turns.add(number)
        try:
            yield number
        finally:
            with self._knowing:
                self._open_turns.discard(number)

    def hold(self, claims: Iterable[Claim]) -> None:
        """Know of claims that were given."""
        with self._knowing:
            self._known |= {claim.id: claim.fence for claim in claims}

    def drop(self, claims: Iterable[Claim]) -> None:
        """Forget claims that are settled, or not this worker's any more."""
        if self._pid != os.getpid():
            return  # a forked child, which may find the lock locked for ever
        with self._knowing:
            for claim in claims:
                if self._known.get(claim.id) == claim.fence:
                    del self._known[claim.id]

    def started(self, claim: Claim) -> bool:
        run = self._space.run
        try:
            noted = run(
                "started", repeatable=True, id=claim.id, fence=claim.fence, worker=self.worker
            )
        except StoreError:
            # It must not run unnoted. Unknown here, it goes back into the line with a beat.
            self.drop([claim])
            return False
        return bool(noted)

    def beat(self) -> None:
        now = self._clock.monotonic()
        if now - self._beat_at < BEAT_SECONDS or self._pid != os.getpid():
            return
        with suppress(StoreError):  # the next call tries again, and a turn says what is wrong
            self._beat()
            self._beat_at = now

    def _beat(self) -> None:
        with self._knowing:
            known = len(self._known)
        agreed = self._space.run(
            "beat",
            repeatable=True,
            worker=self.worker,
            told=self.told,
            known=known,
            roles=self._roles.held,
            token=self._roles.token,
            lease=self._roles.lease,
        )
        if not agreed:
            self._reconcile()

    def _reconcile(self) -> None:
        with self._knowing:
            known = dict(self._known)
            turn = min(self._open_turns, default=next(self._numbers))
        held = self._space.run(
            "reconcile", repeatable=True, worker=self.worker, known=[*known], turn=turn
        )
        gone = known.keys() - texts(held)
        with self._knowing:
            for id in gone:
                if self._known.get(id) == known[id]:
                    del self._known[id]

    def leave(self) -> None:
        if self._pid == os.getpid():
            with suppress(StoreError):  # the silence says it too, only later
                self._space.run("leave", repeatable=True, worker=self.worker)


def described(threads: int, queues: Collection[str] | None) -> WorkerInfo:
    """A worker of this process, under a new name."""
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    return WorkerInfo(name, threads, None if queues is None else sorted(queues))
