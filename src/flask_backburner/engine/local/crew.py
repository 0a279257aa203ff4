"""Crew: a worker's pools as one; each job goes to the pool that its task asks for."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

from msgspec import Struct

from ...errors import JobInterrupted
from ...installation import Definition, Installation
from ...record import SUSPICIOUS
from ...runner import run_job, run_job_async
from ...store.claim import Claim, Report, Settlement
from ...submission import PREFIX
from .address import Address
from .loop import LoopPool
from .pool import Means, Pool
from .processes import CAN_FORK, ProcessPool
from .quarantine import Quarantine
from .threads import ThreadPool

SUSPECTS_INTERVAL = 0.2
BUSY_SECONDS = 1.0
"""After so long without a pause a worker takes a suspicious job and lets its others end."""

DRAIN_SECONDS = 30.0
"""So long it claims nothing meanwhile; then the suspicious job is back in line."""

RECOVERY_SECONDS = 60.0
"""And then so long it claims as always before it tries that again."""


class Offer(Struct, frozen=True):
    """Room for so many jobs of these tasks; ``alone`` for suspicious ones only."""

    room: int
    tasks: Sequence[str] = ()
    alone: bool = False


class Crew:
    """Threads for ordinary jobs, an event loop for async ones, slots for process jobs.

    A suspicious job gets a slot, or without slots waits in quarantine until all else has ended.
    """

    def __init__(
        self, installation: Installation, means: Means, threads: int, address: Address | None
    ) -> None:
        """There are slots where the app's ``address`` is known, and processes can be forked."""
        self._installation = installation
        self.threads = ThreadPool(threads, means, partial(run_job, installation))
        self._loop = LoopPool(means, partial(run_job_async, installation))
        self._quarantine = Quarantine(means)
        self._slots: Pool | None = None
        if address is not None and CAN_FORK:
            processes = installation.settings.processes
            self._slots = ProcessPool(processes, means, installation, address)
        pools = (self.threads, self._loop, self._quarantine, self._slots)
        self._pools: list[Pool] = [pool for pool in pools if pool is not None]
        self._tasks: dict[Pool, list[str]] = {}
        self._places: dict[str, Pool] = {}
        self._tasks_known = -1
        self._let_out = False
        self._asked_at = self._calm_at = time.monotonic()

    @property
    def held(self) -> int:
        """How many jobs are in the worker's hands."""
        return sum(pool.held for pool in self._pools)

    @property
    def vacant(self) -> bool:
        """Whether a job of any kind that the app has would run at once."""
        return not self._secluded and any(pool.vacant for pool in self._tasks)

    @property
    def _secluded(self) -> bool:
        """Whether a suspicious job runs in a thread, or waits until it can."""
        return self._let_out or bool(self._quarantine.held)

    def offers(self, *, eager: bool = False) -> Iterator[Offer]:
        """What to ask the store for, one after the other, each as things are by then.

        The first comes even without room: somebody has to take along what happened. Suspicious
        jobs are asked for now and then, or always if ``eager``.
        """
        self._sort_tasks()
        if self._secluded:
            yield Offer(0)
            return
        yield Offer(self.threads.room, self._tasks[self.threads])
        yield from self._offer_to_suspects(eager=eager)
        for pool, tasks in self._tasks.items():
            if pool is not self.threads and pool.room and not self._secluded:
                yield Offer(pool.room, tasks)

    def _offer_to_suspects(self, *, eager: bool) -> Iterator[Offer]:
        """Before the slots are given to others, who might never leave one free."""
        now = time.monotonic()
        if not eager and now - self._asked_at < SUSPECTS_INTERVAL:
            return
        room = self._room_for_suspects(now)
        if room:
            self._asked_at = now
            yield Offer(room, [task for some in self._tasks.values() for task in some], True)

    def _sort_tasks(self) -> None:
        """The tasks of each pool; of a pool that needs none there is no word."""
        known = self._installation.tasks
        if len(known) == self._tasks_known:
            return
        self._tasks_known = len(known)
        self._tasks = {self.threads: [PREFIX + "*"]}
        for name, definition in list(known.items()):
            pool = self._pool_of(definition)
            if pool is not None:
                self._tasks.setdefault(pool, []).append(name)
                self._places[name] = pool

    def _pool_of(self, definition: Definition) -> Pool | None:
        if definition.process and self._slots is not None:
            return self._slots
        if definition.process and not self._installation.app.testing:
            return None  # another worker can give it a process
        return self._loop if definition.is_async else self.threads

    def _room_for_suspects(self, now: float) -> int:
        if self._slots is not None:
            return self._slots.room
        calm = not self.held or now - self._calm_at > BUSY_SECONDS
        return int(calm and not self._secluded)

    def take(self, claims: Collection[Claim]) -> None:
        """Run these jobs, each where it belongs."""
        if claims:
            for pool, some in self._sorted(claims).items():
                pool.take(some)
            self._see_to_quarantine()

    def _sorted(self, claims: Iterable[Claim]) -> dict[Pool, list[Claim]]:
        """By the jobs alone: a claim may come later than the turn that asked for it."""
        sorted_: dict[Pool, list[Claim]] = {}
        for claim in claims:
            pool = self._places.get(claim.task, self.threads)
            if claim.crashes >= SUSPICIOUS:
                pool = self._slots or self._quarantine
            if pool in sorted_:
                sorted_[pool].append(claim)
            else:
                sorted_[pool] = [claim]
        return sorted_

    def _see_to_quarantine(self) -> None:
        if self.held == self._quarantine.held:
            self._calm_at = time.monotonic()
            self._let_out = bool(self._quarantine.waiting)
            if self._let_out:
                self.threads.take(self._quarantine.let_out())

    def settled(self) -> tuple[list[Settlement], list[Report]]:
        """The jobs that finished, and their last words."""
        settled, reports = [], []
        for pool in self._pools:
            some, words = pool.settled()
            settled += some
            reports += words
        self._see_to_quarantine()
        return settled + self._waited_in_vain(), reports

    def _waited_in_vain(self) -> list[Settlement]:
        """A suspicious job that others keep waiting, and that keeps others waiting."""
        now = time.monotonic()
        if not self._quarantine.waiting or now - self._asked_at < DRAIN_SECONDS:
            return []
        self._calm_at = now + RECOVERY_SECONDS
        return self._quarantine.hand_back_waiting()

    def reports(self) -> list[Report]:
        """What is new of the jobs that run."""
        return [report for pool in self._pools for report in pool.reports()]

    def enforce(self, now: float) -> list[Report]:
        """Tell the jobs whose time is up to stop, and report those that were told in vain."""
        return [report for pool in self._pools for report in pool.enforce(now)]

    def interrupt(self, ids: Collection[str], how: type[JobInterrupted]) -> None:
        """Tell these jobs to stop."""
        for pool in self._pools:
            pool.interrupt(ids, how)

    def interrupt_all(self, how: type[JobInterrupted]) -> None:
        """Tell all jobs to stop."""
        for pool in self._pools:
            pool.interrupt_all(how)

    def let_go(self, claims: Collection[Claim]) -> None:
        """Tell those of the jobs to stop whose claim is not this worker's any more."""
        for pool in self._pools:
            pool.let_go(claims)

    def force(self) -> bool:
        """End jobs that were told to stop, where code can be ended; whether there are any."""
        return self._slots is not None and self._slots.force()

    def hand_back_waiting(self) -> list[Settlement]:
        """Take the jobs that have not begun out of the line."""
        return [entry for pool in self._pools for entry in pool.hand_back_waiting()]

    def hand_back_running(self) -> list[Settlement]:
        """Give up the jobs that run; nothing more is heard of them."""
        return [entry for pool in self._pools for entry in pool.hand_back_running()]

    def close(self, patience: float) -> None:
        """End what the pools have started, waiting so many seconds at most."""
        deadline = time.monotonic() + patience
        for pool in self._pools:
            pool.close(max(0.0, deadline - time.monotonic()))
