"""Slot: a process that runs process jobs, one after the other, for the worker that ordered it."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ...context import capturing_logs
from ...errors import JobCancelled, JobInterrupted, JobReleased, JobTimedOut, StoreError
from ...installation import Installation
from ...record import Failed, Outcome, Retry
from ...runner import run_job, stopped
from ...running import RunningJob
from ...store.base import Claim, Report
from .channel import (
    Answer,
    Channel,
    ChannelLost,
    Commit,
    Ended,
    Interrupt,
    News,
    Order,
    Ready,
    ToSlot,
    Unloadable,
)
from .kinship import ASKING, adopt_orphans, carry_on, has_children, limit_memory
from .letter import Letter, load, log_to_stderr

TELL_INTERVAL = 0.1
INTERRUPTIONS: dict[str, type[JobInterrupted]] = {
    kind.__name__: kind for kind in (JobCancelled, JobTimedOut, JobReleased)
}
_LIMITS = (resource.RLIMIT_DATA, resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU)


def live(letter: Letter, work: socket.socket, side: socket.socket) -> None:
    """Load the app and run jobs until the worker orders no more."""
    adopt_orphans()
    _settle_signals()
    _take_nothing_in()
    channel = Channel[Any](work, ToSlot)
    try:
        installation = load(letter)
    except (Exception, SystemExit) as error:
        traceback.print_exception(error)
        channel.send(Unloadable(f"{type(error).__name__}: {error}"))
        return
    log_to_stderr(installation.app)
    # Flask adds its own handler only where it finds none: let it look before ours is there.
    _ = installation.app.logger
    with capturing_logs():
        Slot(installation, channel, Channel(side, Interrupt)).serve()


def _settle_signals() -> None:
    for number in ASKING:
        signal.signal(number, carry_on)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _take_nothing_in() -> None:
    """Standard input is empty, and what jobs print is seen line by line."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # no wrappers yet


class Slot:
    """The main thread runs jobs; another tells of them, and hears when one is to stop.

    The ``work`` channel is the main thread's while no job runs, and the job's for what it
    commits; the ``side`` channel is the other thread's.
    """

    def __init__(
        self, installation: Installation, work: Channel[Any], side: Channel[Interrupt]
    ) -> None:
        self._installation = installation
        self._work = work
        self._side = side
        self._main = threading.get_ident()
        self._running: RunningJob | None = None
        self._target: RunningJob | None = None  # whose code a signal may break off
        self._telling = threading.Lock()
        self._asking = threading.Lock()

    def serve(self) -> None:
        """Run what is ordered, until the channel is closed or this process is spent."""
        settings = self._installation.settings
        if settings.process_memory is not None:
            limit_memory(settings.process_memory)
        signal.signal(signal.SIGTERM, self._break_off)
        self._traces = _traces()
        threading.Thread(target=self._attend, name="backburner-slot", daemon=True).start()
        try:
            self._work.send(Ready())
            for left in reversed(range(settings.process_jobs)):
                order = self._work.receive()
                assert isinstance(order, Order)
                ended = self._run(order.claim, last=not left)
                self._work.send(ended)
                if ended.spent:
                    return
        except ChannelLost:
            return

    def _run(self, claim: Claim, *, last: bool) -> Ended:
        running = RunningJob(claim, self._installation.files, self._commit)
        with self._telling:
            self._running = running
        outcome = self._outcome(running)
        with self._telling, self._asking:
            self._running = None
            report = running.news()
        # Broken off anywhere, its code may have left anything behind, such as a lock.
        spent = last or running.interrupt is not None or _ran_out_of_memory(outcome)
        return Ended.by(outcome, report, spent or _traces() != self._traces)

    def _outcome(self, running: RunningJob) -> Outcome:
        how: type[BaseException] = JobReleased
        outcome: Outcome | None = None
        try:
            self._target = running
            outcome = run_job(self._installation, running)
        except JobInterrupted:
            how = running.interrupt or how  # it came just when the job was over
        except MemoryError:
            how = MemoryError
        finally:
            self._target = None
        if how is MemoryError:
            gc.collect()  # what the job had is free now that its error is forgotten
        return outcome or stopped(self._installation, running.claim, how)

    def _break_off(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM: raise the interrupt in the job's code, once; unless told why, do nothing."""
        target = self._target
        if target is not None and target.interrupt is not None:
            self._target = None
            raise target.interrupt

    def _commit(self, report: Report) -> bool:
        """Called by the job's code, in any of its threads."""
        with self._sheltered(), self._asking:
            if self._running is None or self._running.claim is not report.claim:
                return False  # a thread that outlived its job
            self._work.send(Commit(News.of(report)))
            answer = self._work.receive()
        assert isinstance(answer, Answer)
        if answer.error is not None:
            raise StoreError(answer.error)
        return answer.recorded

    @contextmanager
    def _sheltered(self) -> Iterator[None]:
        """No signal breaks off what the main thread does meanwhile."""
        if threading.get_ident() != self._main:
            yield
            return
        target, self._target = self._target, None
        try:
            yield
        finally:
            self._target = target

    def _attend(self) -> None:
        """The other thread. Without the worker there is nothing to live for."""
        poll = select.poll()
        poll.register(self._side.fileno(), select.POLLIN)
        try:
            while True:
                self._hear_and_tell(poll)
        finally:
            os.killpg(0, signal.SIGKILL)

    def _hear_and_tell(self, poll: select.poll) -> None:
        try:
            for interrupt in self._side.arrived() if poll.poll(TELL_INTERVAL * 1000) else ():
                self._interrupt(interrupt)
            self._tell()
        except MemoryError:
            return  # the job's own matter; there may be more at the next look

    def _interrupt(self, interrupt: Interrupt) -> None:
        running = self._running
        if running is None or running.interrupt is not None:
            return
        if (running.claim.id, running.claim.fence) == (interrupt.id, interrupt.fence):
            running.interrupt = INTERRUPTIONS[interrupt.how]
            signal.pthread_kill(self._main, signal.SIGTERM)

    def _tell(self) -> None:
        with self._telling:
            report = self._running and self._running.news()
            if report:
                self._side.send(News.of(report))


def _ran_out_of_memory(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed | Retry) and outcome.fault.message.startswith("MemoryError")


def _traces() -> tuple[Any, ...]:
    """What a job may change of its process, or leave there, that others would feel."""
    return (
        has_children(),
        _folder(),
        signal.getsignal(signal.SIGTERM),
        signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        [resource.getrlimit(kind) for kind in _LIMITS],
    )


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
