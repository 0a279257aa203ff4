"""Closing: when a worker stops, told by its first process to those that it has forked."""

from __future__ import annotations

import mmap
import time
from struct import Struct

_DEADLINE = Struct("=d")
_COUNT = Struct("=q")


class Closing:
    """A moment that processes share: until then running jobs may go on, and none is claimed.

    Made before the fork. Written and read without a lock, also in a signal's handler.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _DEADLINE.size + _COUNT.size)

    def begin(self, grace: float) -> None:
        """Claim no more; running jobs get so many seconds, a second call may shorten that."""
        deadline = time.monotonic() + grace
        self._write(min(self.deadline, deadline) if self.begun else deadline)

    def _write(self, deadline: float) -> None:
        _DEADLINE.pack_into(self._shared, 0, deadline)

    @property
    def deadline(self) -> float:
        """In monotonic time; 0 while nothing is closing."""
        (deadline,) = _DEADLINE.unpack_from(self._shared)
        return float(deadline)

    @property
    def begun(self) -> bool:
        return self.deadline > 0.0

    @property
    def over(self) -> bool:
        """Whether those who run now are to give up."""
        return 0.0 < self.deadline <= time.monotonic()

    @property
    def handed_back(self) -> int:
        """How many running jobs were given up, as far as counting without a lock goes."""
        (count,) = _COUNT.unpack_from(self._shared, _DEADLINE.size)
        return int(count)

    def count(self, handed_back: int) -> None:
        """So many more running jobs were given up."""
        _COUNT.pack_into(self._shared, _DEADLINE.size, self.handed_back + handed_back)
