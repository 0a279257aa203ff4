"""Carrier: what a token sets in motion in the process that it reaches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import NoReturn

from ...context import capturing_logs
from ...errors import JobCancelled, JobReleased
from ...installation import Installation
from ...record import Released
from ...runner import stopped
from ...running import RunningJob
from ...store.claim import (
    Claim,
    Report,
    Settlement,
    Turn,
)
from ...trouble import Trouble
from ..local.notices import Notices
from ..local.pool import Means
from .closing import Closing
from .hands import Hands
from .roster import Seat

CARRY_SECONDS = 5.0
"""So long a token is carried; then another takes its place, if the broker can be sent one."""

REPORT_INTERVAL = 0.1
HEAR_INTERVAL = 0.3
IDLE_INTERVAL = 1.0
LAST_SECONDS = 1.0
RELEASE_SECONDS = 0.5
"""So long running jobs may take to stop by themselves before they are handed back."""

STORE_PATIENCE = 5.0
logger = logging.getLogger("flask_backburner")


class Carrier:
    """Runs jobs in this process, one at a time for each thread that carries a token.

    A second thread speaks for the jobs meanwhile: it reports, shows that the process lives,
    hears of cancels and ends what does not stop.
    """

    def __init__(
        self,
        installation: Installation,
        seat_in: str,
        closing: Closing,
        pass_on: Callable[[str], bool],
        *,
        size: int,
        queues: Collection[str] | None,
        kin: str,
        own_process: bool,
        end: Callable[[], NoReturn],
    ) -> None:
        """``pass_on`` has a token sent for a queue, if that can be done.

        ``end`` ends this process; ``own_process`` says that no other job is lost then.
        """
        self._installation = installation
        self._closing = closing
        self._pass_on = pass_on
        self._queues = queues
        self._own_process = own_process
        self._end = end
        self._store = installation.store
        # Not counted among those who serve: the worker's first process says what it offers.
        self._presence = self._store.join(0, ())
        self._seat = Seat(seat_in, self._presence.worker, kin)
        self._notices = Notices(installation)
        means = Means(self._began, self._commit, lambda: None, self._timeout, installation.files)
        self._hands = Hands(installation, size, means, self._seat, self._gone_astray)
        # One turn at a time: what one thread has claimed must not be given to another.
        self._turning = threading.RLock()
        self._settled: list[Settlement] = []
        self._reports: list[Report] = []
        self._reported_at = self._heard_at = self._shown_at = 0.0
        self._alone: Claim | None = None
        self._trouble = Trouble("The worker")
        self._ending = threading.Event()
        self._busy = threading.Event()
        self._open = ExitStack()
        # Flask adds its own handler only where it finds none: let it look before ours is there.
        _ = installation.app.logger
        self._open.enter_context(capturing_logs())
        self._thread = threading.Thread(target=self._watch, name="backburner-watch", daemon=True)
        self._thread.start()

    def carry(self) -> None:
        """Run jobs until there is none, or another token does the same."""
        while True:
            queue = self._carry_for_a_while()
            if queue is None or self._closing.begun or self._pass_on(queue):
                return

    def _carry_for_a_while(self) -> str | None:
        """Run jobs; gives back the queue of the last one if there may be more."""
        until = time.monotonic() + CARRY_SECONDS
        queue = None
        while claim := self._next(time.monotonic() < until):
            queue = claim.queue
            self._hands.run(claim)
        return queue if time.monotonic() >= until else None

    def _next(self, more: bool) -> Claim | None:
        """Settle what has ended, and claim the next job if there is to be one."""
        with self._turning:
            if self._alone is not None and not self._hands.holds(self._alone):
                self._alone = None
            turn = self._tried_turn(int(more and not self._closing.begun and not self._alone))
            if turn is None:
                return None
            claimed = turn.claimed or self._suspicious(more)
        if claimed:
            self._busy.set()
        return claimed[0] if claimed else None

    def _suspicious(self, more: bool) -> tuple[Claim, ...]:
        """A job that has crashed its process before runs while nothing else is in this one."""
        if not more or self._hands.held or self._closing.begun:
            return ()
        turn = self._tried_turn(1, alone=True)
        if turn is None or not turn.claimed:
            return ()
        (self._alone,) = turn.claimed
        return turn.claimed

    def _tried_turn(self, room: int, *, alone: bool = False) -> Turn | None:
        """A turn that failed has lost nothing: what was to be recorded is still here."""
        try:
            turn = self._turn(room, alone)
        except Exception as error:
            self._trouble.tell(error)
            return None
        if self._trouble.over():
            logger.info("The worker goes on")
        return turn

    def _turn(self, room: int, alone: bool) -> Turn:
        self._gather()
        turn = self._store.turn(
            self._presence,
            settled=self._settled,
            reports=self._reports,
            room=room,
            queues=self._queues,
            tasks=self._installation.known_tasks(),
            alone=alone,
        )
        settled, self._settled = self._settled, []
        reports, self._reports = self._reports, []
        self._heard_at = time.monotonic()
        self._hands.take(turn.claimed)
        self._hands.let_go(turn.refused)
        self._hands.interrupt(turn.cancelling, JobCancelled)
        self._notices.recorded(settled, reports, turn.refused)
        return turn

    def _gather(self) -> None:
        """Collect what happened since the last turn: ends at once, progress now and then."""
        settled, last_words = self._hands.settled()
        self._settled += settled
        if self._closing.over:
            self._note_handed_back(sum(entry.outcome == Released() for entry in settled))
        now = time.monotonic()
        # While older news cannot be recorded the jobs keep theirs: the newest of each.
        if now - self._reported_at >= REPORT_INTERVAL and not self._reports:
            self._reported_at = now
            self._reports += self._hands.reports()
        self._reports += last_words

    def _began(self, claim: Claim) -> bool:
        held = self._presence.started(claim)
        if held:
            self._notices.started(claim)
        return held

    def _commit(self, report: Report) -> bool:
        return not self._store.turn(None, reports=[report]).refused

    def _timeout(self, task: str) -> float | None:
        known = self._installation.tasks.get(task)
        return None if known is None else known.timeout

    # The second thread

    def _watch(self) -> None:
        while not self._ending.is_set():
            try:
                self._show_life()
                self._look()
            except Exception as error:
                self._trouble.tell(error)
            self._rest()

    def _show_life(self) -> None:
        self._presence.beat()
        now = time.monotonic()
        if now - self._shown_at >= IDLE_INTERVAL:
            self._shown_at = now
            self._seat.show()

    def _rest(self) -> None:
        if self._hands.held or self._settled:
            self._ending.wait(REPORT_INTERVAL)
        else:
            self._busy.clear()
            self._busy.wait(IDLE_INTERVAL)

    def _look(self) -> None:
        """See what is new of the jobs, and what is wanted of them."""
        if not (self._hands.held or self._settled):
            return
        with self._turning:
            self._gather()
            self._reports += self._hands.enforce(time.monotonic())
            quiet = time.monotonic() - self._heard_at < HEAR_INTERVAL
            if self._settled or self._reports or not quiet:
                self._tried_turn(0)
            if self._closing.over:
                self._give_up()

    def _give_up(self) -> None:
        """Tell what still runs that it goes on elsewhere; who does not listen is given up."""
        self._hands.interrupt_all(JobReleased)
        if time.monotonic() < self._closing.deadline + RELEASE_SECONDS:
            return
        back = self._hands.hand_back_running()
        self._settled += back
        self._tried_turn(0)
        self._note_handed_back(len(back))
        if back:
            # Code that does not stop would keep the process, and a pool waits for its own.
            ending = threading.Timer(0.0 if self._own_process else LAST_SECONDS, self._end)
            ending.daemon = True
            ending.start()

    def _note_handed_back(self, jobs: int) -> None:
        if jobs:
            self._closing.count(jobs)
            logger.warning("Handed back %d running jobs", jobs)

    def _gone_astray(self, running: RunningJob) -> None:
        """Record how the job has ended, and end it, where nothing else ends with it."""
        if not self._own_process:
            return
        claim = running.claim
        logger.warning(
            "Job %s (%s) was told to stop and does not: its process is ended", claim.id, claim.task
        )
        how = running.interrupt or JobReleased
        self._settled.append(Settlement(claim, stopped(self._installation, claim, how)))
        deadline = time.monotonic() + STORE_PATIENCE
        while self._tried_turn(0) is None and time.monotonic() < deadline:
            time.sleep(REPORT_INTERVAL)
        self._end()

    def close(self) -> None:
        """Record what is left, and give up the place among the living. Repeatable."""
        self._ending.set()
        self._busy.set()
        if threading.current_thread() is not self._thread:  # it may end the process itself
            self._thread.join(STORE_PATIENCE)
        with self._turning:
            self._tried_turn(0)
        self._leave()
        self._open.close()

    def _leave(self) -> None:
        self._notices.close(LAST_SECONDS)
        self._seat.leave()
        self._presence.leave()
