"""Worker: the loop that takes its turn at the store, again and again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from math import inf

from ...context import capturing_logs
from ...errors import JobCancelled, JobReleased
from ...installation import Installation
from ...record import Released
from ...store.base import Presence
from ...store.claim import (
    Claim,
    Report,
    Settlement,
    Turn,
)
from ...trouble import Trouble
from ...upkeep import Upkeep
from .address import Address
from .crew import Crew, Offer
from .notices import Notices
from .pool import Means
from .wakeup import Bell, runtime_folder
from .watchdog import Watchdog

REPORT_INTERVAL = 0.1
BEAT_SECONDS = 0.5
STALLED_SECONDS = 0.02
SHORTEST_PAUSE = 0.001
STORE_PAUSE = 0.5
RELEASE_SECONDS = 0.5
"""So long running jobs may take to stop by themselves before they are handed back."""

FORCED_SECONDS = 2.0
"""So long the kernel may take to end their processes; if it takes longer they are given up."""
WAIT_FOR_ROLE = 0.05
THREAD_PATIENCE = 1.0

logger = logging.getLogger("flask_backburner")


class Worker:
    """Runs the jobs of one app until it is told to stop."""

    def __init__(
        self,
        installation: Installation,
        *,
        threads: int | None = None,
        queues: Collection[str] | None = None,
        burst: bool = False,
        role: str | None = None,
        leash: int | None = None,
        address: Address | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Of all workers with a ``role`` only one claims jobs at any time.

        The worker stops when the other end of its ``leash``, a pipe, is closed. It runs process
        jobs if it is told the ``address`` at which their processes find the app. A ``watchdog``
        is for one that has its process for itself.
        """
        settings = installation.settings
        self._installation = installation
        self._threads = threads or settings.threads
        self._queues = queues if queues is not None else settings.queues
        self._burst = burst
        self._role = role
        self._address = address
        self._watchdog = watchdog
        self._poll = settings.poll
        self._bell = Bell(runtime_folder(settings.place, settings.name))
        if leash is not None:
            self._bell.watch(leash, lambda: self.stop(settings.grace))
        # A flag, no Event: a signal's handler must never wait for a lock.
        self._stopping = False
        self._deadline = 0.0
        self._releasing = False
        self._handed_back = 0
        self._settled: list[Settlement] = []
        self._reports: list[Report] = []
        self._reported_at = 0.0
        self._trouble = Trouble("The worker")

    def stop(self, grace: float) -> None:
        """Stop claiming; running jobs get ``grace`` seconds, a second call may change that.

        Returns at once, also from a signal's handler; ``run`` returns when it is done.
        """
        deadline = time.monotonic() + grace
        self._deadline = min(self._deadline, deadline) if self._stopping else deadline
        self._stopping = True
        self._bell.ring()

    def run(self) -> int:
        """Work until told to stop; gives back how many running jobs had to be handed back."""
        try:
            presence = self._enlisted()
            return self._serve(presence) if presence else 0
        finally:
            self._bell.close()

    def _enlisted(self) -> Presence | None:
        """Wait for the role and for the store; none if told to stop before."""
        while not self._stopping:
            try:
                # Its own from now on: the installation may be closed and have another later.
                self._store = self._installation.store
                if self._role is None or self._store.elect(self._role):
                    return self._store.join(self._threads, self._queues)
            except Exception as error:
                self._trouble.tell(error)
            self._bell.wait(WAIT_FOR_ROLE)
        return None

    def _serve(self, presence: Presence) -> int:
        installation = self._installation
        self._presence = presence
        self._notices = Notices(installation)
        self._upkeep = Upkeep(
            self._store, installation.files, self._notices.rescued, installation.settings.hang
        )
        means = Means(self._began, self._commit, self._bell.ring, self._timeout, installation.files)
        self._crew = Crew(installation, means, self._threads, self._address)
        # Flask adds its own handler only where it finds none: let it look before ours is there.
        _ = installation.app.logger
        try:
            self._upkeep.start()
            with capturing_logs():
                self._work()
                return self._finish()
        finally:
            if self._watchdog is not None:
                self._watchdog.rest()
            self._crew.close(THREAD_PATIENCE)
            self._notices.close(THREAD_PATIENCE)
            self._resign()
            presence.leave()

    def _began(self, claim: Claim) -> bool:
        """Called before a job's function, by whoever runs it."""
        held = self._presence.started(claim)
        if held:
            self._notices.started(claim)
        return held

    def _commit(self, report: Report) -> bool:
        """Called by a job's thread."""
        return not self._store.turn(None, reports=[report]).refused

    def _timeout(self, task: str) -> float | None:
        known = self._installation.tasks.get(task)
        return None if known is None else known.timeout

    def _work(self) -> None:
        while not self._stopping:
            claimed = self._tried_turn()
            if claimed is None:
                self._wait(STORE_PAUSE)
            elif self._burst and not claimed and not self._crew.held:
                return
            else:
                self._rest()

    def _tried_turn(self) -> int | None:
        """A turn that failed has lost nothing: what was to be recorded is still here."""
        try:
            self._beat()
            claimed = self._turn()
        except Exception as error:
            self._trouble.tell(error)
            return None
        if self._trouble.over():
            logger.info("The worker goes on")
        return claimed

    def _turn(self) -> int:
        """Hand over what happened, and take as many jobs as there is room for."""
        self._gather()
        claimed = 0
        for offer in self._offers():
            turn = self._exchange(offer)
            self._crew.take(turn.claimed)
            self._crew.let_go(turn.refused)
            self._crew.interrupt(turn.cancelling, JobCancelled)
            claimed += len(turn.claimed)
        return claimed

    def _offers(self) -> Iterable[Offer]:
        return [Offer(0)] if self._stopping else self._crew.offers(eager=self._burst)

    def _exchange(self, offer: Offer) -> Turn:
        turn = self._store.turn(
            self._presence,
            settled=self._settled,
            reports=self._reports,
            room=offer.room,
            queues=self._queues,
            tasks=offer.tasks,
            alone=offer.alone,
        )
        settled, self._settled = self._settled, []
        reports, self._reports = self._reports, []
        self._notices.recorded(settled, reports, turn.refused)
        return turn

    def _gather(self) -> None:
        """Collect what happened since the last turn: ends at once, progress now and then."""
        settled, last_words = self._crew.settled()
        self._settled += settled
        if self._releasing:
            self._handed_back += sum(entry.outcome == Released() for entry in settled)
        now = time.monotonic()
        if now - self._reported_at >= REPORT_INTERVAL:
            self._reported_at = now
            if not self._reports:
                # While older news cannot be recorded the jobs keep theirs: the newest of each.
                self._reports += self._crew.reports()
            self._reports += self._crew.enforce(now)
        self._reports += last_words

    def _rest(self) -> None:
        """Wait until something may have happened."""
        if self._crew.threads.waiting:
            self._bell.wait(STALLED_SECONDS)
            if not self._crew.threads.news_waits:
                # A long job came in between: those behind it may be another worker's.
                self._settled += self._crew.threads.hand_back_waiting()
            return
        if self._bell.show(idle=self._crew.vacant):
            return  # work that came before the others could know is found by another turn
        self._wait(self._pause())

    def _wait(self, seconds: float) -> None:
        """Wait for the bell, and show meanwhile that the loop goes round."""
        until = time.monotonic() + seconds
        while not self._bell.wait(min(BEAT_SECONDS, until - time.monotonic())):
            if time.monotonic() >= until:
                return
            self._beat()

    def _beat(self) -> None:
        """Show that the loop goes round."""
        self._presence.beat()
        if self._watchdog is not None:
            self._watchdog.pat()

    def _pause(self) -> float:
        if not self._crew.held:
            return self._poll
        # Not a moment before the next reports are due, which would put them off to the next.
        due = self._reported_at + REPORT_INTERVAL - time.monotonic()
        return min(self._poll, max(SHORTEST_PAUSE, due))

    def _finish(self) -> int:
        """Hand back what nobody began, wait for what runs, hand back the rest."""
        self._stopping = True
        self._bell.show(idle=False)
        self._settled += self._crew.hand_back_waiting()
        self._tried_turn()
        # The next worker need not wait for the jobs that still run here.
        self._resign()
        if self._crew.held:
            logger.info(
                "No more jobs are claimed; %d still run, %s", self._crew.held, self._told_grace()
            )
        self._wait_for_jobs(lambda: self._deadline)
        return self._hand_back_running()

    def _told_grace(self) -> str:
        left = self._deadline - time.monotonic()
        return "until they end" if left == inf else f"for up to {max(0.0, left):.0f} s"

    def _wait_for_jobs(self, deadline: Callable[[], float]) -> None:
        """Until all have ended and are recorded; the deadline may come nearer meanwhile."""
        while (self._crew.held or self._settled) and time.monotonic() < deadline():
            self._bell.wait(min(REPORT_INTERVAL, deadline() - time.monotonic()))
            self._tried_turn()

    def _wait_for_jobs_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._wait_for_jobs(lambda: deadline)

    def _resign(self) -> None:
        self._upkeep.stop(THREAD_PATIENCE)
        if self._role is not None:
            self._store.resign(self._role)

    def _hand_back_running(self) -> int:
        """Tell what still runs that it goes on elsewhere; who does not listen is given up."""
        self._releasing = True
        self._crew.interrupt_all(JobReleased)
        self._wait_for_jobs_for(RELEASE_SECONDS)
        if self._crew.force():
            self._wait_for_jobs_for(FORCED_SECONDS)
        self._gather()
        self._reports += self._crew.reports()
        back = self._crew.hand_back_running()
        self._settled += back
        self._handed_back += len(back)
        self._tried_turn()
        if self._handed_back:
            logger.warning("Handed back %d running jobs", self._handed_back)
        return self._handed_back
