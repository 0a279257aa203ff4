"""Silence: which workers have stopped showing beats, as far as one observer has watched them."""

from __future__ import annotations

from collections.abc import Iterable

from ..clock import Clock

LOOKS = 4
"""Silence is only believed when it was seen over at least so many looks."""


class Silence:
    """Compares each worker's beat with the last one seen.

    No two processes' clocks are compared, and time in which the observer did not look itself
    (it was stopped, the machine slept) counts no more than a part of the limit.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at: float | None = None
        self._heard: dict[str, tuple[int, float]] = {}

    def longer_than(self, limit: float, beats: Iterable[tuple[str, int]]) -> list[str]:
        """The workers of which no new beat was seen for so many seconds."""
        now = self._clock.monotonic()
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, limit / LOOKS)
        self._looked_at = now
        before, self._heard = self._heard, {}
        for worker, beat in beats:
            last, silent = before.get(worker, (beat, -passed))
            self._heard[worker] = (beat, silent + passed if beat == last else 0.0)
        return [worker for worker, (_, silent) in self._heard.items() if silent >= limit]
