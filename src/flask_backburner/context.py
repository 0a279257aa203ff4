"""current_job: what running code may touch of its own job."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn, ParamSpec, TypeVar

from .checkpoint import Checkpoint, resumed, run_step
from .codec.shown import show
from .errors import JobCancelled, JobRetry, NoCurrentJob
from .options import checked_countdown
from .record import JobFile
from .running import RUNNING, PlainCall, RunningJob
from .store.claim import Claim

P = ParamSpec("P")
T = TypeVar("T")

_MOST = 1 << 63


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
        """Whether this job is to stop: somebody asked to, or its ``timeout`` is over.

        Asking does not stop it.
        """
        interrupt = _current().interrupt
        return interrupt is not None and issubclass(interrupt, JobCancelled)

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
        self,
        iterable: Iterable[T],
        total: float | None = None,
        message: str | None = None,
        *,
        resume: bool = False,
    ) -> Iterator[T]:
        """Go through ``iterable`` and report each item that is done.

        The total is the iterable's length if it has one and none is given. Each ``track``
        begins to count anew.

        With ``resume`` the items that earlier attempts have done are passed over: they must come
        in the same order each time, and so must the tracks of a task if it has several. That an
        item is done is durable before the next one begins, which costs about a write for each:
        for items of some milliseconds or more.
        """
        job = _current()
        job.begin(_length(iterable) if total is None else number("total", total), message)
        return resumed(job, iterable) if resume else _tracked(job, iterable)

    @property
    def checkpoint(self) -> Checkpoint:
        """What the next attempt finds here if this one fails or its process dies.

        A mapping of texts to plain JSON values, at most 64 KiB in all. Each change is durable
        when it is made and costs about a write, so not for every turn of a fast loop.
        """
        return Checkpoint(_current())

    def step(self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` unless an earlier attempt of the job has; give back its result.

        The result is kept under the ``name``, which a task uses once, as its return hint says,
        and is durable when this returns; that costs about a write. All of a job's steps together
        may take ``BACKBURNER_MAX_RESULT_BYTES``. Of an ``async def`` function, await what this
        gives. The arguments are not compared: another name is another step. Raises
        ``ResultError`` for a result that cannot be kept.
        """
        return run_step(_current(), name, function, args, kwargs)

    def retry(self, countdown: float | timedelta | None = None) -> NoReturn:
        """Give this attempt up and be tried again, after ``countdown`` seconds if given.

        Else after what the task's ``backoff`` says. It uses up one of the task's ``retries``;
        if none is left the job fails. Called while an exception is handled, that is kept as the
        reason. Raises ``JobRetry``, which is no ``Exception``: let it pass.
        """
        _claim()
        raise JobRetry(None if countdown is None else checked_countdown(countdown))

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
        return RUNNING.get()
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
        job = RUNNING.get(None)
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
