"""Backoff: how long a job waits before it is tried again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeGuard

from msgspec import Struct

from .codec.shown import show

LONGEST = 1e9


class Backoff(Struct, frozen=True):
    """Wait longer after each failure, and not all jobs equally long.

    After the first failure up to ``base`` seconds, ``factor`` times as long after each further
    one, never more than ``most``. With ``jitter`` the wait is anything from nothing to that, so
    that jobs which failed together do not all come back together. Raises ``ValueError`` for
    what cannot be used.
    """

    base: float = 1.0
    factor: float = 2.0
    most: float = 3600.0
    jitter: bool = True

    def __post_init__(self) -> None:
        for name, value, least in (
            ("base", self.base, 0),
            ("factor", self.factor, 1),
            ("most", self.most, 0),
        ):
            if not _is_number(value) or not least <= value <= LONGEST:
                raise ValueError(f"{name} is {show(value)}, but must be a number from {least} on.")
        if not isinstance(self.jitter, bool):
            raise ValueError(f"jitter is {show(self.jitter)}, but must be True or False.")

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures, from 1."""
        longest = min(self.most, self._full(failures))
        return random.uniform(0.0, longest) if self.jitter else longest

    def _full(self, failures: int) -> float:
        try:
            return float(self.base * float(self.factor) ** (failures - 1))
        except OverflowError:
            return self.most


class Delays(Struct, frozen=True):
    """Waits of a fixed length, one for each failure; the last one also for all further."""

    seconds: tuple[float, ...]

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures, from 1."""
        return self.seconds[min(failures, len(self.seconds)) - 1]


Wait = Backoff | float | timedelta | Sequence[float | timedelta]
"""What ``backoff=`` takes: a ``Backoff``, seconds, or a sequence of seconds."""


def read_backoff(value: Wait) -> Backoff | Delays:
    """What is meant by it. Raises ``ValueError``."""
    if isinstance(value, Backoff):
        return value
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return Delays((_seconds(value),))
    if not value:
        raise ValueError("backoff is empty, but must have at least one number of seconds.")
    return Delays(tuple(_seconds(each) for each in value))


def _seconds(value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if _is_number(seconds) and 0 <= seconds <= LONGEST:
        return float(seconds)
    raise ValueError(
        f"backoff is {show(value)}, but must be seconds, 0 or more, a timedelta, a sequence of "
        "these, or a Backoff(…)."
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
