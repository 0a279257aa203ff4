"""Overseer: what a worker's first process does while others run the jobs."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from ...errors import JobTimedOut
from ...installation import Installation
from ...record import JobRecord, Released, State
from ...runner import stopped
from ...store.claim import Claim, Settlement
from ...trouble import Trouble
from ...upkeep import Upkeep
from ..local.notices import Notices
from .closing import Closing
from .roster import Entry, Roster, Seat

INTERVAL = 0.2
OVERLOOKED_SECONDS = 0.1
"""A job that could run and has waited for so long is announced again."""

VOUCHING_SECONDS = 2.0
RENEWING_SECONDS = 3.0
"""The pool first joins a dead child and only some time later gives its place to another."""

LEEWAY = 3.0
"""So long after the grace children may take to hand back what they run."""

ROLE = "announcing"
MANY = 100_000
PATIENCE = 5.0

logger = logging.getLogger("flask_backburner")


class Overseer:
    """Shows that the worker lives, sees to its dead, and does upkeep where it is elected.

    What was never announced, or in vain, is announced again.
    """

    def __init__(
        self,
        installation: Installation,
        roster: Roster,
        announce: Callable[[str, int], None],
        renew: Callable[[], None],
        closing: Closing,
        *,
        size: int,
        queues: Collection[str] | None,
        kin: str,
    ) -> None:
        """``renew`` has the pool look for dead children; it is asked to for a while after one."""
        self._installation = installation
        self._store = installation.store
        self._roster = roster
        self._announce = announce
        self._renew = renew
        self._closing = closing
        self._told = False
        self._renew_until = self._vouched_at = float("-inf")
        self._kin = kin
        self._presence = self._store.join(size, queues)
        self._seat = Seat(roster.folder, self._presence.worker, kin)
        self._notices = Notices(installation)
        self._upkeep = Upkeep(
            self._store, installation.files, self._notices.rescued, installation.settings.hang
        )
        self._duties = (
            (self._presence.beat, Trouble("The worker")),
            (self._see_to_the_dead, Trouble("The rescue of jobs of dead processes")),
            (self._see_to_the_living, Trouble("The watch over processes")),
            (self._announce_again, Trouble("The announcing of jobs")),
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backburner-overseer", daemon=True)

    def start(self) -> None:
        self._upkeep.start()
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL):
            self.work()

    def work(self) -> None:
        """Do each duty once; one that fails stops none."""
        if self._closing.begun and not self._told:
            self._told = True
            logger.info("Told to stop: no more jobs are claimed")
        for duty, trouble in self._duties:
            try:
                duty()
            except Exception as error:
                trouble.tell(error)
            else:
                trouble.over()

    def _see_to_the_dead(self) -> None:
        """Of this machine, in whichever worker they were: nobody need wait for their silence."""
        for path, entry in self._roster.dead():
            self._store.bury(entry.worker)
            self._roster.remove(path)
            logger.warning("Process %d has died; the jobs it ran are taken up", entry.pid)
            if entry.kin == self._kin:
                self._renew_until = time.monotonic() + RENEWING_SECONDS
        if time.monotonic() < self._renew_until:
            self._renew()

    def _see_to_the_living(self) -> None:
        """Speak for children whose job lets no other thread run, and end those out of time."""
        now = time.monotonic()
        vouching = now - self._vouched_at >= VOUCHING_SECONDS
        for entry in self._roster.living(self._kin):
            if entry.claim is not None and entry.ends_at < now:
                outcome = stopped(self._installation, entry.claim, JobTimedOut)
                self._end(entry, [Settlement(entry.claim, outcome)])
            elif self._is_useless(entry, now):
                self._end(entry, self._released(entry.worker))
            elif vouching:
                self._store.vouch(entry.worker)
        if vouching:
            self._vouched_at = now

    def _is_useless(self, entry: Entry, now: float) -> bool:
        """Whether a process hangs, or gives nothing back although it was told to stop."""
        if self._closing.begun and self._closing.deadline + LEEWAY < now:
            return True
        return now - entry.seen_at > self._installation.settings.hang

    def _released(self, worker: str) -> list[Settlement]:
        """What a process holds that gives nothing back by itself."""
        running = self._store.find(state=State.RUNNING, limit=MANY)
        held = [_claim(record) for record in running if record.worker == worker]
        return [Settlement(claim, Released()) for claim in held]

    def _end(self, entry: Entry, settled: list[Settlement]) -> None:
        """Record how a child's job has ended, and end the child."""
        turn = self._store.turn(None, settled=settled)
        self._notices.recorded(settled, (), turn.refused)
        if entry.pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(entry.pid, signal.SIGKILL)

    def _announce_again(self) -> None:
        if not self._store.elect(ROLE):
            return
        overlooked = [
            queue
            for queue, waited in self._store.oldest_queued().items()
            if waited >= OVERLOOKED_SECONDS
        ]
        if overlooked:
            counters = self._store.counters()
            for queue in overlooked:
                self._announce(queue, counters.get((queue, State.QUEUED), 1))

    def stop(self) -> None:
        """Leave it to others. Repeatable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)
        self._upkeep.stop(PATIENCE)
        self._notices.close(PATIENCE)
        self._store.resign(ROLE)
        self._seat.leave()
        self._presence.leave()


def _claim(record: JobRecord) -> Claim:
    """Enough of a claim to settle it."""
    return Claim(record.id, record.fence, record.task, record.queue, record.attempt, b"")
