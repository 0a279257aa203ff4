"""Options: how a task's jobs are started and run, each value checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, TypedDict, get_args

from msgspec import Struct

from .backoff import Wait
from .codec.shown import show
from .errors import JobInterrupted

OnCrash = Literal["retry", "fail"]
Errors = tuple[type[BaseException], ...]

MOST_RETRIES = 1_000_000
LONGEST = 1e9
_QUEUE = re.compile(r"[^\s,](?:[^,]*[^\s,])?")


class TaskOptions(TypedDict, total=False):
    """What ``@tasks.task()`` takes beside the function; times are seconds or a timedelta.

    ``name`` is by default ``module:function`` and must be the same in every process; jobs of a
    higher ``priority`` run first. A job that fails by one of the errors of ``retry_on`` is tried
    again up to ``retries`` times, after the wait that ``backoff`` says. It is to stop when an
    attempt takes longer than ``timeout``, and fails if it has not begun when it ``expires``.
    With ``process`` it runs in a process of its own. ``on_crash`` says what becomes of it when
    the process that ran it died.
    """

    name: str | None
    queue: str
    priority: int
    retries: int
    backoff: Wait
    retry_on: type[BaseException] | Iterable[type[BaseException]]
    timeout: float | timedelta | None
    process: bool
    expires: float | timedelta | None
    on_crash: OnCrash


class StartOptions(Struct, frozen=True):
    """How a job is started; times in seconds, ``eta`` and ``expires`` may be aware ones."""

    queue: str = "default"
    priority: int = 0
    countdown: float | None = None
    eta: datetime | None = None
    owner: str | None = None
    id: str | None = None
    retries: int = 0
    expires: float | datetime | None = None
    alias: str | None = None

    def run_at(self, now: float) -> float | None:
        return _instant(now, self.countdown if self.eta is None else self.eta)

    def start_by(self, now: float) -> float | None:
        return _instant(now, self.expires)


def _instant(now: float, value: float | datetime | None) -> float | None:
    if isinstance(value, datetime):
        return value.timestamp()
    return None if value is None else now + value


def checked_start(options: StartOptions) -> StartOptions:
    """The options, if each can be used. Raises ``ValueError``."""
    _check_queue(options.queue)
    _check_priority(options.priority)
    _check_time(options.countdown, options.eta)
    _check_retries(options.retries)
    return options


def _check_queue(queue: object) -> None:
    if not (isinstance(queue, str) and _QUEUE.fullmatch(queue) and queue.isprintable()):
        raise ValueError(f"queue is {show(queue)}, but must be a name without commas.")


def _check_priority(priority: object) -> None:
    if type(priority) is not int or abs(priority) > 1 << 31:
        raise ValueError(
            f"priority is {show(priority)}, but must be a whole number between -2**31 and 2**31; "
            "higher runs first."
        )


def _check_time(countdown: object, eta: object) -> None:
    if countdown is not None and eta is not None:
        raise ValueError("countdown and eta are both given, but only one can be: drop the other.")
    if countdown is not None:
        checked_countdown(countdown)
    if eta is not None and (not isinstance(eta, datetime) or eta.utcoffset() is None):
        raise ValueError(
            f"eta is {show(eta)}, but must be an aware datetime, such as "
            "datetime.now(timezone.utc) + timedelta(hours=1)."
        )


def checked_countdown(value: object) -> float:
    """Seconds from now. Raises ``ValueError``."""
    seconds = _number(value)
    if seconds is None or not 0 <= seconds < 1e10:
        raise ValueError(
            f"countdown is {show(value)}, but must be seconds from now, 0 or more, or a timedelta."
        )
    return seconds


def _check_retries(retries: object) -> None:
    if type(retries) is not int or not 0 <= retries <= MOST_RETRIES:
        raise ValueError(
            f"retries is {show(retries)}, but must be a whole number from 0 to {MOST_RETRIES}: "
            "how many more times a job that failed is tried."
        )


def checked_expires(value: object) -> float | datetime | None:
    """Seconds from the start or an aware time by which to begin. Raises ``ValueError``."""
    if value is None or (isinstance(value, datetime) and value.utcoffset() is not None):
        return value
    seconds = _number(value)
    if seconds is None or not 0 < seconds <= LONGEST:
        raise ValueError(
            f"expires is {show(value)}, but must be seconds from now, more than 0, a timedelta "
            "or an aware datetime: a job that has not begun by then fails."
        )
    return seconds


def checked_lifetime(value: object) -> float | None:
    """A task's own ``expires``, which no certain time can be. Raises ``ValueError``."""
    expires = checked_expires(value)
    if isinstance(expires, datetime):
        raise ValueError(
            f"expires is {show(value)}, but must be seconds from the start of each job, or a "
            "timedelta. Give a certain time to one job: using(expires=…)."
        )
    return expires


def checked_timeout(value: object) -> float | None:
    """Seconds that an attempt may take. Raises ``ValueError``."""
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None or not 0 < seconds <= LONGEST:
        raise ValueError(
            f"timeout is {show(value)}, but must be seconds, more than 0, a timedelta, or None."
        )
    return seconds


def checked_retry_on(value: object) -> Errors:
    """The classes of exceptions. Raises ``ValueError``."""
    classes: Errors = ()
    for each in value if isinstance(value, Iterable) and not isinstance(value, str) else [value]:
        if not isinstance(each, type) or not issubclass(each, BaseException):
            raise ValueError(
                f"retry_on has {show(each)}, but takes classes of exceptions only, such as "
                "(ConnectionError, TimeoutError)."
            )
        if issubclass(each, JobInterrupted):
            raise ValueError(
                f"retry_on has {each.__name__}, which is how a job is stopped and no failure. "
                "Leave it out; a timeout is a TimeoutError there."
            )
        classes += (each,)
    return classes


def checked_on_crash(value: object) -> OnCrash:
    """What to do when the process of a job died. Raises ``ValueError``."""
    for each in get_args(OnCrash):
        if value == each:
            known: OnCrash = each
            return known
    raise ValueError(f"on_crash is {show(value)}, but must be 'retry' or 'fail'.")


def checked_flag(name: str, value: object) -> bool:
    """Raises ``ValueError`` for what is neither true nor false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {show(value)}, but must be True or False.")
    return value


def _number(value: object) -> float | None:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return seconds
