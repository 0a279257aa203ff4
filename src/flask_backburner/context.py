"""current_job: what running code may touch of its own job."""

from __future__ import annotations

import inspect
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar, cast

from .clock import moment
from .codec.shown import show
from .errors import JobCancelled, JobInterrupted, NoCurrentJob
from .files import FileFolder
from .record import JobFile, Line, Progress
from .store.base import LINES_KEPT, Claim, Report

P = ParamSpec("P")
T = TypeVar("T")

LINE_BYTES = 8 << 10
NOTHING = (None, None, None, None)
_CUT = "…"
_MOST = 1 << 63


class RunningJob:
    """An attempt while it runs: written by the job's code, read by the worker's loop.

    Each side only sets or reads single attributes, so no lock is needed: what the loop misses
    now it finds at its next look.
    """

    __slots__ = (
        "_attached",
        "_files",
        "_lines",
        "_reported",
        "claim",
        "current",
        "interrupt",
        "message",
        "phase",
        "total",
    )

    def __init__(self, claim: Claim, files: FileFolder) -> None:
        self.claim = claim
        self._files = files
        self._attached: deque[JobFile] = deque()
        self.current: float | None = None
        self.total: float | None = None
        self.message: str | None = None
        self.phase: str | None = None
        self.interrupt: type[JobInterrupted] | None = None
        self._lines: deque[Line] = deque(maxlen=LINES_KEPT)
        self._reported: tuple[float | None, float | None, str | None, str | None] = NOTHING

    def check(self) -> None:
        """Where a cancel arrives."""
        if self.interrupt is not None:
            raise self.interrupt

    def begin(self, total: float | None, message: str | None) -> None:
        """Begin to count anew, from nothing."""
        self.current, self.total = 0, total
        if message is not None:
            self.message = message

    def write(self, level: str, text: str) -> None:
        """Add a line to the log."""
        self._lines.append(Line(moment(time.time()), storable(str(level)), storable(text)))

    def attach(
        self, source: bytes | str | os.PathLike[str], name: str | None, type: str | None
    ) -> JobFile:
        """Keep a copy of a file, to be reported once it is whole."""
        file = self._files.attach(self.claim.id, source, name, type)
        self._attached.append(file)
        return file

    def news(self) -> Report | None:
        """What changed since this was asked last, for the worker to report."""
        now = (self.current, self.total, self.message, self.phase)
        changed = now != self._reported
        if not (changed or self._lines or self._attached):
            return None
        self._reported = now
        current, total, message, phase = now
        message = None if message is None else storable(message)
        return Report(
            self.claim,
            Progress(current, total, message, phase) if changed else None,
            tuple(self._lines.popleft() for _ in range(len(self._lines))),
            tuple(self._attached.popleft() for _ in range(len(self._attached))),
        )


def storable(text: str, size: int = LINE_BYTES) -> str:
    """The text as a store takes it: at most so many bytes, all of them UTF-8."""
    data = text[: size + 1].encode(errors="backslashreplace")
    if len(data) <= size:
        return data.decode()
    return data[: size - len(_CUT.encode())].decode(errors="ignore") + _CUT


_running: ContextVar[RunningJob] = ContextVar("flask_backburner.running")


class Bound:
    """Make this the current job of the calling thread."""

    __slots__ = ("_running", "_token")

    def __init__(self, running: RunningJob) -> None:
        self._running = running

    def __enter__(self) -> None:
        self._token = _running.set(self._running)

    def __exit__(self, *error: object) -> None:
        _running.reset(self._token)


class PlainCall(RunningJob):
    """Stands for a job while a task is called like the function it is: reports go nowhere."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(Claim("", 0, "", "", 0, b""), FileFolder(os.devnull))

    def write(self, level: str, text: str) -> None:
        """Nobody reads it."""

    def attach(
        self, source: bytes | str | os.PathLike[str], name: str | None, type: str | None
    ) -> JobFile:
        raise NoCurrentJob


def call_plainly(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a task's function here and now; within a job that job is still the current one."""
    if _running.get(None) is not None:
        return function(*args, **kwargs)
    if inspect.iscoroutinefunction(function):
        return cast(T, _await_plainly(function, *args, **kwargs))
    with Bound(PlainCall()):
        return function(*args, **kwargs)


async def _await_plainly(
    function: Callable[..., Awaitable[T]], /, *args: object, **kwargs: object
) -> T:
    with Bound(PlainCall()):
        return await function(*args, **kwargs)


class CurrentJob:
    """The job whose code is running, for that code: ``from flask_backburner import current_job``.

    Outside a job every use raises ``NoCurrentJob``; in a task that is called like a plain
    function, reports go nowhere, and what only a job has raises it. ``progress``, ``track`` and
    ``check_cancelled`` are also where a cancel arrives, as ``JobCancelled``: let it pass, or
    clean up and raise it again.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """The job's id."""
        return _claim().id

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return _claim().attempt

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel this job. Asking does not stop it."""
        return _current().interrupt is JobCancelled

    def check_cancelled(self) -> None:
        """Stop here if the job is to be cancelled."""
        _current().check()

    def progress(
        self,
        current: float | None = None,
        total: float | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far the job is; what is left out stays as it was.

        Nearly free, so call it as often as you like: it only keeps the newest value, which the
        worker writes at most every 100 ms. A bar never goes back: a smaller ``current`` is
        taken only together with another ``total``, which begins to count anew.
        """
        job = _current()
        if job.interrupt is not None:
            raise job.interrupt
        if total is not None and total != job.total:
            job.total = number("total", total)
            job.current = None
        if current is not None:
            if current.__class__ is not int or not -_MOST < current < _MOST:
                current = number("current", current)
            if job.current is None or current > job.current:
                job.current = current
        if message is not None:
            job.message = str(message)

    def track(
        self, iterable: Iterable[T], total: float | None = None, message: str | None = None
    ) -> Iterator[T]:
        """Go through ``iterable`` and report each item that is done.

        The total is the iterable's length if it has one and none is given. Each ``track``
        begins to count anew.
        """
        job = _current()
        job.begin(_length(iterable) if total is None else number("total", total), message)
        return _tracked(job, iterable)

    def log(self, text: str, level: str = "info") -> None:
        """Add a line to the job's log, which its user may read.

        The newest 1 000 lines are kept, each up to 8 KiB.
        """
        _current().write(level, str(text))

    def attach(
        self,
        source: bytes | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
    ) -> JobFile:
        """Give the job a result file: a copy of the file at a path, or bytes.

        ``name`` is what it is called when downloaded, by default the path's own; ``type`` its
        media type, by default told by the name. A file of the same name is replaced. It is
        kept as long as the job. A task that returns what this gives back has the file as its
        result. Raises ``ValueError`` for a name that cannot be one.
        """
        return _current().attach(source, name, type)


def _current() -> RunningJob:
    try:
        return _running.get()
    except LookupError:
        raise NoCurrentJob from None


def _claim() -> Claim:
    running = _current()
    if isinstance(running, PlainCall):
        raise NoCurrentJob
    return running.claim


def _tracked(job: RunningJob, iterable: Iterable[T]) -> Iterator[T]:
    for done, item in enumerate(iterable, 1):
        if job.interrupt is not None:
            raise job.interrupt
        yield item
        job.current = done
    job.check()


def _length(iterable: Iterable[object]) -> int | None:
    try:
        return len(iterable)  # type: ignore[arg-type]  # that is the question
    except (TypeError, OverflowError):
        return None


def number(name: str, value: object) -> float:
    """The value, if it is a number that progress can be counted in. Raises ``TypeError``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MOST:
        return value
    raise TypeError(
        f"progress() got {name}={show(value)}, but wants a number, such as rows or "
        "bytes done: an int or a float between -2**63 and 2**63."
    )


class JobLogHandler(logging.Handler):
    """Writes what a job's code logs by the standard ``logging`` into the job's own log."""

    def emit(self, record: logging.LogRecord) -> None:
        job = _running.get(None)
        if job is None:
            return
        try:
            job.write(record.levelname.lower(), record.getMessage())
        except Exception:
            self.handleError(record)


_handler = JobLogHandler()
_captures = 0
_capturing = threading.Lock()


@contextmanager
def capturing_logs() -> Iterator[None]:
    """Write what jobs log into their own logs; several workers in a process do it only once."""
    global _captures
    with _capturing:
        _captures += 1
        logging.getLogger().addHandler(_handler)
    try:
        yield
    finally:
        with _capturing:
            _captures -= 1
            if not _captures:
                logging.getLogger().removeHandler(_handler)


current_job = CurrentJob()
