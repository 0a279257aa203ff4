"""Worker: the loop that takes its turn at the store, again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from ...context import JobLogHandler
from ...errors import JobCancelled, JobReleased, StoreError
from ...installation import Installation
from ...runner import run_job
from ...store.base import Report, Settlement, Turn
from ...upkeep import Upkeep
from .notices import Notices
from .pool import ThreadPool
from .wakeup import Bell, runtime_folder

REPORT_INTERVAL = 0.1
AHEAD_SECONDS = 0.005
MOST_AHEAD = 1000
STALLED_SECONDS = 0.02
STORE_PAUSE = 0.5
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
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        """``drained`` is called once nothing more is claimed, while jobs may still run."""
        settings = installation.settings
        self._installation = installation
        self._threads = threads or settings.threads
        self._queues = queues if queues is not None else settings.queues
        self._burst = burst
        self._drained = drained
        self._poll = settings.poll
        self._bell = Bell(runtime_folder(settings.path, settings.name))
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._ahead = 0
        self._settled: list[Settlement] = []
        self._reports: list[Report] = []
        self._reported_at = 0.0
        self._turned_at = 0.0

    def stop(self, grace: float) -> None:
        """Stop claiming; running jobs get ``grace`` seconds, a second call may shorten that.

        Returns at once, also from a signal's handler; ``run`` returns when it is done.
        """
        deadline = time.monotonic() + grace
        self._deadline = min(self._deadline, deadline) if self._stopping.is_set() else deadline
        self._stopping.set()
        self._bell.ring()

    def run(self) -> int:
        """Work until told to stop; gives back how many running jobs had to be handed back."""
        store = self._installation.store
        self._presence = store.join(self._threads, self._queues)
        self._upkeep = Upkeep(store, self._installation.files)
        self._notices = Notices(self._installation)
        self._pool = ThreadPool(
            self._threads,
            lambda running: run_job(self._installation, running),
            self._presence.started,
            self._bell.ring,
            self._installation.files,
        )
        # Flask adds its own handler only where it finds none: let it look before ours is there.
        assert self._installation.app.logger
        capture = JobLogHandler()
        logging.getLogger().addHandler(capture)
        try:
            self._work()
            return self._finish()
        finally:
            logging.getLogger().removeHandler(capture)
            self._pool.close(THREAD_PATIENCE)
            self._notices.close(THREAD_PATIENCE)
            self._upkeep.resign()
            self._presence.leave()
            self._bell.close()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._upkeep.work()
                turn = self._turn()
            except Exception as error:
                self._pause_after(error)
                continue
            if self._burst and not turn.claimed and not self._pool.held:
                return
            self._rest()

    def _pause_after(self, error: Exception) -> None:
        """A turn that failed has lost nothing: what was to be recorded is still here."""
        if isinstance(error, StoreError):
            logger.error("The worker waits for its store: %s", error)
        else:
            logger.exception("A turn of the worker failed")
        self._bell.wait(STORE_PAUSE)

    def _turn(self) -> Turn:
        self._gather()
        turn = self._installation.store.turn(
            self._presence,
            settled=self._settled,
            reports=self._reports,
            room=self._room(),
            queues=self._queues,
            tasks=self._installation.known_tasks(),
        )
        self._pool.take(turn.claimed)
        self._pool.interrupt((claim.id for claim in turn.refused), JobReleased)
        self._pool.interrupt(turn.cancelling, JobCancelled)
        self._notices.tell(self._settled, self._reports, turn.refused)
        self._settled, self._reports = [], []
        return turn

    def _gather(self) -> None:
        """Collect what happened since the last turn: ends at once, progress now and then."""
        settled, last_words = self._pool.settled()
        self._judge_speed(len(settled))
        self._settled += settled
        self._reports += last_words
        now = time.monotonic()
        if now - self._reported_at >= REPORT_INTERVAL:
            self._reported_at = now
            self._reports += self._pool.reports()

    def _judge_speed(self, finished: int) -> None:
        """Claim ahead of the free threads only while jobs are short: some ms of work."""
        now = time.monotonic()
        passed, self._turned_at = now - self._turned_at, now
        saturated = finished >= self._threads
        self._ahead = (
            min(MOST_AHEAD, int(finished / passed * AHEAD_SECONDS)) if saturated and passed else 0
        )

    def _room(self) -> int:
        if self._stopping.is_set():
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
        return min(self._poll, REPORT_INTERVAL) if self._pool.held else self._poll

    def _finish(self) -> int:
        """Hand back what nobody began, wait for what runs, hand back the rest."""
        self._stopping.set()
        self._bell.show(idle=False)
        self._settled += self._pool.hand_back_waiting()
        self._last_turn()
        self._drained()
        while self._pool.held and time.monotonic() < self._deadline:
            self._bell.wait(min(REPORT_INTERVAL, self._deadline - time.monotonic()))
            self._last_turn()
        self._gather()
        back = self._pool.hand_back_running()
        self._settled += back
        self._last_turn()
        if back:
            logger.warning("Handed back %d running jobs", len(back))
        return len(back)

    def _last_turn(self) -> None:
        try:
            self._turn()
        except StoreError as error:
            logger.error("The worker could not reach its store while stopping: %s", error)
