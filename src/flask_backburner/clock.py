"""Wall time for people. The one place to fake time."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Tells the time; a store has one, and the store's time is the only one that counts."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that no setting of the clock and no suspension of the machine adds to."""
        return time.monotonic()


def moment(seconds: float) -> datetime:
    """The aware UTC time of so many seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
