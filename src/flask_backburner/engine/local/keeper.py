"""Keeper: a thread of the worker that has a slot and takes jobs to it, one after the other."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ...codec.shown import show_error
from ...errors import JobCancelled, JobReleased, StoreError
from ...record import Cancelled, Crashed, Failed, Fault, Outcome, Released
from ...running import RunningJob, storable
from ...store.claim import Report
from .berth import Berth, BerthLost, Message, Nurse
from .channel import Answer, Commit, Ended, News, Ready, Unloadable
from .letter import HOW_TO_TELL
from .pool import Means

IDLE_SECONDS = 60.0
LOADING_SECONDS = 300.0
LOOK = 0.1
LEAVING_SECONDS = 2.0
AT_ONCE = 0.001
GUARD_SECONDS = 0.25
"""So long a guard may take to kill its slot; then it is killed, and the slot dies with it."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

logger = logging.getLogger("flask_backburner")


class Pause:
    """While processes cannot be started jobs are not claimed, for longer and longer."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._ends_at = 0.0

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self._ends_at

    def begin(self) -> float:
        """Pause; gives back for how many seconds."""
        self._seconds = min(LONGEST_PAUSE, 2 * self._seconds or FIRST_PAUSE)
        self._ends_at = time.monotonic() + self._seconds
        return self._seconds

    def end(self) -> None:
        """It works again."""
        self._seconds = self._ends_at = 0.0


@dataclass(frozen=True)
class Duty:
    """What keepers have from their pool.

    ``not_begun`` says why a job is not to begin, if so. ``stopped`` tells how a job has ended
    that was told to stop and then killed, ``ended`` takes each outcome. ``berths`` has the slots
    of the jobs that run.
    """

    nurse: Nurse
    means: Means
    not_begun: Callable[[RunningJob], Outcome | None]
    stopped: Callable[[RunningJob], Outcome]
    ended: Callable[[RunningJob, Outcome], None]
    line: queue.SimpleQueue[RunningJob | None]
    berths: dict[RunningJob, Berth] = field(default_factory=dict)
    pause: Pause = field(default_factory=Pause)
    closing: threading.Event = field(default_factory=threading.Event)


class Keeper:
    """Waits for jobs in a thread of its own until the line gives it ``None``."""

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._berth: Berth | None = None

    def serve(self) -> None:
        """The thread."""
        while (running := self._next()) is not None:
            try:
                outcome = self._outcome(running)
            except BaseException as error:  # a thread outlives whatever the app's own code does
                outcome = Failed(Fault("error", storable(show_error(error))))
            self._duty.ended(running, outcome)
            self._duty.means.ring()
        self._leave()

    def _next(self) -> RunningJob | None:
        try:
            return self._duty.line.get(timeout=IDLE_SECONDS if self._berth else None)
        except queue.Empty:
            self._leave()
            return self._duty.line.get()

    def _leave(self, patience: float = LEAVING_SECONDS) -> int | None:
        """Have no slot any more; gives back the wait status of its process if that is known."""
        berth, self._berth = self._berth, None
        if berth is None:
            return None
        status = berth.end(patience)
        if status is None:
            self._duty.nurse.kill_guard(berth)
        return status

    def _outcome(self, running: RunningJob) -> Outcome:
        if not self._ready_for(running):
            how = running.interrupt or JobReleased
            return Cancelled() if issubclass(how, JobCancelled) else Released(started=False)
        return self._duty.not_begun(running) or self._run(running)

    def _ready_for(self, running: RunningJob) -> bool:
        """Whether there is a process with the app loaded, now that it was tried to have one."""
        if self._berth is not None and self._berth.is_lost():
            self._leave(AT_ONCE)  # it died without a job, for which no job is to blame
        if self._berth is not None:
            return True
        if self._duty.pause.lasts or running.interrupt is not None:
            return False
        try:
            self._berth = self._duty.nurse.bear()
            if self._is_loaded(running, self._berth):
                self._duty.pause.end()
                return True
        except BerthLost as error:
            self._complain(str(error))
        self._leave(AT_ONCE)
        return False

    def _is_loaded(self, running: RunningJob, berth: Berth) -> bool:
        deadline = time.monotonic() + LOADING_SECONDS
        while running.interrupt is None and not self._duty.closing.is_set():
            for message in berth.wait(LOOK):
                if isinstance(message, Unloadable):
                    raise BerthLost(message.reason)
                if isinstance(message, Ready):
                    return True
            if time.monotonic() > deadline:
                raise BerthLost(f"it has not come to an end in {LOADING_SECONDS:.0f} s")
        return False

    def _complain(self, reason: str) -> None:
        logger.error(
            "Process jobs wait, for another %.0f s at least, because their process could not "
            "load the app: %s. %s",
            self._duty.pause.begin(),
            reason.rstrip("."),
            HOW_TO_TELL,
        )

    def _run(self, running: RunningJob) -> Outcome:
        assert self._berth is not None
        berths = self._duty.berths
        berth = berths[running] = self._berth
        running.began_at = time.monotonic()
        try:
            berth.order(running.claim)
            berth.interrupt(running)  # if it was told to stop before it was found in a berth
            return self._attended(running, berth)
        except BerthLost as error:
            return self._after_death(running, error)
        finally:
            del berths[running]
            if running.interrupt is not None:
                self._leave()  # who would kill it may be on the way

    def _attended(self, running: RunningJob, berth: Berth) -> Outcome:
        while True:
            for message in berth.wait(_until_next_look(berth)):
                outcome = self._heard(running, berth, message)
                if outcome is not None:
                    return outcome
            if berth.killed_for >= GUARD_SECONDS:
                self._duty.nurse.kill_guard(berth)

    def _heard(self, running: RunningJob, berth: Berth, message: Message) -> Outcome | None:
        match message:
            case News():
                running.hear(message.report(running.claim))
            case Commit():
                berth.answer(self._committed(message.news.report(running.claim)))
            case Ended():
                if message.news is not None:
                    running.hear(message.news.report(running.claim))
                if message.spent:
                    self._leave()
                return message.value()
        return None

    def _committed(self, report: Report) -> Answer:
        try:
            return Answer(self._duty.means.commit(report))
        except StoreError as error:
            return Answer(recorded=False, error=str(error))

    def _after_death(self, running: RunningJob, reason: BerthLost) -> Outcome:
        status = self._leave(AT_ONCE)
        if running.interrupt is not None:
            logger.warning(
                "Job %s (%s) was told to stop and did not: its process was ended by force",
                running.claim.id,
                running.claim.task,
            )
            return self._duty.stopped(running)
        logger.error(
            "The process of job %s (%s) %s", running.claim.id, running.claim.task, _ending(status)
        )
        return Crashed()


def _until_next_look(berth: Berth) -> float:
    """Seconds; an order to kill may have come in the middle of a wait and did not shorten it."""
    left = GUARD_SECONDS - berth.killed_for
    return left if left > 0 else GUARD_SECONDS


def _ending(status: int | None) -> str:
    """Words for a wait status."""
    if status is None:
        return "is gone"
    if os.WIFSIGNALED(status):
        return f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.waitstatus_to_exitcode(status)}"
