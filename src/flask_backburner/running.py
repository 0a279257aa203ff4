"""RunningJob: an attempt while it runs, between the job's code and who runs it."""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import ParamSpec, TypeVar, cast

from .clock import moment
from .codec import Limits
from .errors import JobInterrupted, JobReleased, NoCurrentJob, StoreError
from .files import FileFolder
from .record import JobFile, Line, Progress
from .store.base import LINES_KEPT
from .store.claim import Claim, Report

P = ParamSpec("P")
T = TypeVar("T")

STORE_PAUSE = 0.2
LINE_BYTES = 8 << 10
NOTHING = (None, None, None, None)
CUSTOM_STATE = "celery:state"
"""Under this key a job keeps what ``celery_compat`` says of its state."""
_CUT = "…"

_making = threading.Lock()
_USUAL = Limits()

Commit = Callable[[Report], bool]
"""Records a report durably before it returns; false if the job is another worker's by now."""


class RunningJob:
    """An attempt while it runs: written by the job's code, read by the worker's loop.

    Each side only sets or reads single attributes, so no lock is needed: what the loop misses
    now it finds at its next look. Times are monotonic, 0 for what has not happened:
    ``began_at`` when the function was called, ``told_at`` when the job was told to stop, by
    ``interrupt``. ``saved`` is what this and earlier attempts wished to keep; ``custom_state``
    is kept with the next report.
    """

    __slots__ = (
        "_attached",
        "_commit",
        "_committing",
        "_custom_reported",
        "_files",
        "_lines",
        "_reported",
        "_uncommitted",
        "began_at",
        "claim",
        "current",
        "custom_state",
        "interrupt",
        "limits",
        "message",
        "phase",
        "saved",
        "steps",
        "told_at",
        "total",
        "tracks",
    )

    def __init__(self, claim: Claim, files: FileFolder, commit: Commit) -> None:
        self.claim = claim
        self.limits = _USUAL
        self.began_at = 0.0
        self.told_at = 0.0
        self.saved = dict(claim.saved)
        self.steps: frozenset[str] = frozenset()
        self.tracks = 0
        self._commit = commit
        self._committing = threading.Lock()
        self._files = files
        self._attached: list[JobFile] = []
        self._uncommitted: list[JobFile] = []
        self.current: float | None = None
        self.total: float | None = None
        self.message: str | None = None
        self.phase: str | None = None
        self.interrupt: type[JobInterrupted] | None = None
        self.custom_state: bytes | None = None
        self._custom_reported: bytes | None = None
        self._lines: deque[Line] | None = None  # made late: most jobs write none
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
        line = Line(moment(time.time()), storable(str(level)), storable(text))
        self._written().append(line)

    def _written(self) -> deque[Line]:
        if self._lines is None:
            with _making:  # two threads of a job may write their first line at once
                if self._lines is None:
                    self._lines = deque(maxlen=LINES_KEPT)
        return self._lines

    def attach(
        self, source: bytes | str | os.PathLike[str], name: str | None, type: str | None
    ) -> JobFile:
        """Keep a copy of a file, to be reported once it is whole."""
        file = self._files.attach(self.claim.id, source, name, type)
        self._attached.append(file)
        self._uncommitted.append(file)
        return file

    def keep(self, changes: Mapping[str, bytes | None]) -> None:
        """Let later attempts know this, by key; ``None`` forgets the key. Durable on return.

        Files attached before are known then too. While the store cannot be used it waits. A
        cancel arrives here, after the write. Raises ``JobReleased`` if the job is another
        worker's by now.
        """
        with self._committing:
            files = tuple(self._uncommitted)
            if not self._recorded(Report(self.claim, files=files, saved=tuple(changes.items()))):
                self.interrupt = JobReleased
                raise JobReleased
            del self._uncommitted[: len(files)]
            self._remember(changes)
        self.check()

    def _recorded(self, report: Report) -> bool:
        """A store that is away for a while is no fault of the job's."""
        while True:
            try:
                return self._commit(report)
            except StoreError:
                self.check()
                time.sleep(STORE_PAUSE)

    def _remember(self, changes: Mapping[str, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.saved.pop(key, None)
            else:
                self.saved[key] = value

    def hear(self, report: Report) -> None:
        """Take over what the job said in another process, to be told here."""
        if report.lines:
            self._written().extend(report.lines)
        self._attached.extend(report.files)
        progress = report.progress
        if progress is not None:
            self.total, self.current = progress.total, progress.current
            self.message, self.phase = progress.message, progress.phase
        self.custom_state = dict(report.saved).get(CUSTOM_STATE, self.custom_state)

    def news(self) -> Report | None:
        """What changed since this was asked last, for the worker to report."""
        now = (self.current, self.total, self.message, self.phase)
        changed = now != self._reported
        saved = self._custom_news()
        if not (changed or saved or self._lines or self._attached):
            return None
        self._reported = now
        current, total, message, phase = now
        message = None if message is None else storable(message)
        return Report(
            self.claim,
            Progress(current, total, message, phase) if changed else None,
            self._new_lines(),
            self._new_files(),
            saved,
        )

    def _new_lines(self) -> tuple[Line, ...]:
        lines = self._lines
        return tuple(lines.popleft() for _ in range(len(lines))) if lines else ()

    def _new_files(self) -> tuple[JobFile, ...]:
        files = tuple(self._attached)
        del self._attached[: len(files)]
        return files

    def _custom_news(self) -> tuple[tuple[str, bytes], ...]:
        state = self.custom_state
        if state is None or state is self._custom_reported:
            return ()
        self._custom_reported = state
        return ((CUSTOM_STATE, state),)


def storable(text: str, size: int = LINE_BYTES) -> str:
    """The text as a store takes it: at most so many bytes, all of them UTF-8."""
    data = text[: size + 1].encode(errors="backslashreplace")
    if len(data) <= size:
        return data.decode()
    return data[: size - len(_CUT.encode())].decode(errors="ignore") + _CUT


RUNNING: ContextVar[RunningJob] = ContextVar("flask_backburner.running")
"""The job whose code is running."""


class Bound:
    """Make this the current job of the calling thread."""

    __slots__ = ("_running", "_token")

    def __init__(self, running: RunningJob) -> None:
        self._running = running

    def __enter__(self) -> None:
        self._token = RUNNING.set(self._running)

    def __exit__(self, *error: object) -> None:
        RUNNING.reset(self._token)


class PlainCall(RunningJob):
    """Stands for a job while a task is called like the function it is: reports go nowhere."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(Claim("", 0, "", "", 0, b""), FileFolder(os.devnull), lambda _: True)

    def write(self, level: str, text: str) -> None:
        """Nobody reads it."""

    def attach(
        self, source: bytes | str | os.PathLike[str], name: str | None, type: str | None
    ) -> JobFile:
        raise NoCurrentJob


def call_plainly(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a task's function here and now; within a job that job is still the current one."""
    if RUNNING.get(None) is not None:
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
