"""Worker: the loop that takes its turn at the store, again and again."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from ...context import capturing_logs
from ...errors import JobCancelled
from ...installation import Installation
from ...runner import run_job
from ...store.base import Claim, Presence, Report, Settlement, Turn
from ...trouble import Trouble
from ...upkeep import Upkeep
from .notices import Notices
from .pool import Means
from .threads import ThreadPool
from .wakeup import Bell, runtime_folder

REPORT_INTERVAL = 0.1
AHEAD_SECONDS = 0.005
MOST_AHEAD = 1000
STALLED_SECONDS = 0.02
SHORTEST_PAUSE = 0.001
STORE_PAUSE = 0.5
WAIT_FOR_ROLE = 0.05
THREAD_PATIENCE = 1.0

logger = logging.getLogger("flask_backburner")


class Worker:
    """Runs the jobs of one app in threads of this process, until it is told to stop."""

    def __init__(
        self,
        installation: Installation,
        *,
        threads: int | None = None,
        queues: Collection[str] | None = None,
        burst: bool = False,
        role: str | None = None,
        leash: int | None = None,
    ) -> None:
        """Of all workers with a ``role`` only one claims jobs at any time.

        The worker stops when the other end of its ``leash``, a pipe, is closed.
        """
        settings = installation.settings
        self._installation = installation
        self._threads = threads or settings.threads
        self._queues = queues if queues is not None else settings.queues
        self._burst = burst
        self._role = role
        self._poll = settings.poll
        self._bell = Bell(runtime_folder(settings.place, settings.name))
        if leash is not None:
            self._bell.watch(leash, lambda: self.stop(settings.grace))
        # A flag, no Event: a signal's handler must never wait for a lock.
        self._stopping = False
        self._deadline = 0.0
        self._ahead = 0
        self._settled: list[Settlement] = []
        self._reports: list[Report] = []
        self._reported_at = 0.0
        self._turned_at = 0.0
        self._trouble = Trouble("The worker")

    def stop(self, grace: float) -> None:
        """Stop claiming; running jobs get ``grace`` seconds, a second call may shorten that.

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
        self._presence = presence
        self._notices = Notices(self._installation)
        self._upkeep = Upkeep(self._store, self._installation.files, self._notices.rescued)
        means = Means(
            self._began, self._commit, self._bell.ring, self._timeout, self._installation.files
        )
        self._pool = ThreadPool(
            self._threads, means, lambda running: run_job(self._installation, running)
        )
        # Flask adds its own handler only where it finds none: let it look before ours is there.
        _ = self._installation.app.logger
        try:
            self._upkeep.start()
            with capturing_logs():
                self._work()
                return self._finish()
        finally:
            self._pool.close(THREAD_PATIENCE)
            self._notices.close(THREAD_PATIENCE)
            self._resign()
            presence.leave()

    def _began(self, claim: Claim) -> bool:
        """Called by a job's thread before its function."""
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
            turn = self._tried_turn()
            if turn is None:
                self._bell.wait(STORE_PAUSE)
            elif self._burst and not turn.claimed and not self._pool.held:
                return
            else:
                self._rest()

    def _tried_turn(self) -> Turn | None:
        """A turn that failed has lost nothing: what was to be recorded is still here."""
        try:
            turn = self._turn()
        except Exception as error:
            self._trouble.tell(error)
            return None
        if self._trouble.over():
            logger.info("The worker goes on")
        return turn

    def _turn(self) -> Turn:
        self._gather()
        turn = self._store.turn(
            self._presence,
            settled=self._settled,
            reports=self._reports,
            room=self._room(),
            queues=self._queues,
            tasks=self._installation.known_tasks(),
        )
        settled, self._settled = self._settled, []
        reports, self._reports = self._reports, []
        self._pool.take(turn.claimed)
        self._pool.let_go(turn.refused)
        self._pool.interrupt(turn.cancelling, JobCancelled)
        self._notices.recorded(settled, reports, turn.refused)
        return turn

    def _gather(self) -> None:
        """Collect what happened since the last turn: ends at once, progress now and then."""
        settled, last_words = self._pool.settled()
        self._judge_speed(len(settled))
        self._settled += settled
        now = time.monotonic()
        # While older news cannot be recorded the jobs keep theirs: the newest of each.
        if now - self._reported_at >= REPORT_INTERVAL and not self._reports:
            self._reported_at = now
            self._reports += self._pool.reports()
            self._reports += self._pool.enforce(now)
        self._reports += last_words

    def _judge_speed(self, finished: int) -> None:
        """Claim ahead of the free threads only while jobs are short: some ms of work."""
        now = time.monotonic()
        passed, self._turned_at = now - self._turned_at, now
        saturated = finished >= self._threads
        self._ahead = (
            min(MOST_AHEAD, int(finished / passed * AHEAD_SECONDS)) if saturated and passed else 0
        )

    def _room(self) -> int:
        if self._stopping:
            return 0
        return max(0, self._threads + self._ahead - self._pool.held)

    def _rest(self) -> None:
        """Wait until something may have happened."""
        if self._pool.waiting:
            self._bell.wait(STALLED_SECONDS)
            if not self._pool.news_waits:
                # A long job came in between: those behind it may be another worker's.
                self._settled += self._pool.hand_back_waiting()
            return
        if self._bell.show(idle=self._pool.held < self._threads):
            return  # work that came before the others could know is found by another turn
        self._bell.wait(self._pause())

    def _pause(self) -> float:
        if not self._pool.held:
            return self._poll
        # Not a moment before the next reports are due, which would put them off to the next.
        due = self._reported_at + REPORT_INTERVAL - time.monotonic()
        return min(self._poll, max(SHORTEST_PAUSE, due))

    def _finish(self) -> int:
        """Hand back what nobody began, wait for what runs, hand back the rest."""
        self._stopping = True
        self._bell.show(idle=False)
        self._settled += self._pool.hand_back_waiting()
        self._tried_turn()
        # The next worker need not wait for the jobs that still run here.
        self._resign()
        if self._pool.held:
            left = max(0.0, self._deadline - time.monotonic())
            logger.info(
                "No more jobs are claimed; %d still run, for up to %.0f s",
                self._pool.held,
                left,
            )
        while (self._pool.held or self._settled) and time.monotonic() < self._deadline:
            self._bell.wait(min(REPORT_INTERVAL, self._deadline - time.monotonic()))
            self._tried_turn()
        return self._hand_back_running()

    def _resign(self) -> None:
        self._upkeep.stop(THREAD_PATIENCE)
        if self._role is not None:
            self._store.resign(self._role)

    def _hand_back_running(self) -> int:
        self._gather()
        self._reports += self._pool.reports()
        back = self._pool.hand_back_running()
        self._settled += back
        self._tried_turn()
        if back:
            logger.warning("Handed back %d running jobs", len(back))
        return len(back)
