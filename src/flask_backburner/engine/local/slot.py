"""Slot: a process that runs process jobs, one after the other, for the worker that ordered it."""

from __future__ import annotations

import gc
import io
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from types import FrameType
from typing import Any

from ...context import capturing_logs
from ...errors import JobInterrupted, JobReleased, StoreError
from ...installation import Installation
from ...record import Failed, Outcome, Retry
from ...runner import run_job, stopped
from ...running import RunningJob, storable
from ...store.claim import Claim, Report
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
from .herald import Herald
from .kinship import ASKING, adopt_orphans, carry_on, has_children, limit_memory
from .letter import Letter, load, log_to_stderr

_LIMITS = (resource.RLIMIT_DATA, resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU)


def live(letter: Letter, work: socket.socket, side: socket.socket) -> None:
    """Load the app and run jobs until the worker orders no more."""
    adopt_orphans()
    _settle_signals()
    _take_nothing_in()
    channel = Channel[Any](work, ToSlot)
    herald = Herald(Channel(side, Interrupt))
    herald.start()
    try:
        installation = load(letter)
    except (Exception, SystemExit) as error:
        traceback.print_exception(error)
        channel.send(Unloadable(storable(f"{type(error).__name__}: {error}")))
        return
    log_to_stderr(installation.app)
    # Flask adds its own handler only where it finds none: let it look before ours is there.
    _ = installation.app.logger
    with capturing_logs():
        Slot(installation, channel, herald).serve()


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
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


class Slot:
    """The main thread: runs the jobs, and records what they commit."""

    def __init__(self, installation: Installation, work: Channel[Any], herald: Herald) -> None:
        self._installation = installation
        self._work = work
        self._herald = herald
        self._pid = os.getpid()
        self._target: RunningJob | None = None  # whose code a signal may break off
        self._asking = threading.Lock()
        self._asker: Claim | None = None

    def serve(self) -> None:
        """Run what is ordered, until the channel is closed or this process is spent."""
        settings = self._installation.settings
        if settings.process_memory is not None:
            limit_memory(settings.process_memory)
        signal.signal(signal.SIGTERM, self._break_off)
        self._traces = _traces()
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
        self._asker = claim
        self._herald.follow(running)
        outcome = self._outcome(running)
        if os.getpid() != self._pid:
            os._exit(0)  # a fork that the job made and left to run on: the job ends but once
        with self._asking:
            self._asker = None
        report = self._herald.last_words()
        # Broken off anywhere, its code may have left anything behind, such as a lock.
        spent = last or running.interrupt is not None or _ran_out_of_memory(outcome)
        return Ended.by(outcome, report, spent or _traces() != self._traces)

    def _outcome(self, running: RunningJob) -> Outcome:
        how: type[BaseException] = JobReleased
        outcome: Outcome | None = None
        try:
            self._target = running
            if running.interrupt is not None:  # no signal comes any more
                self._target = None
                raise running.interrupt
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
            self._herald.was_heard()
            raise target.interrupt

    def _commit(self, report: Report) -> bool:
        """Called by the job's code, in any of its threads."""
        with self._sheltered(), self._asking:
            if self._asker is not report.claim:
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
        if get_ident() != self._herald.main:
            yield
            return
        target, self._target = self._target, None
        try:
            yield
        finally:
            self._target = target


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
