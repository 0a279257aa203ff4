"""When a job that waits will start, if jobs take as long as the last of their task did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf


def estimate(
    position: int | None, slots: int, usual: Mapping[str, float], left: Iterable[float]
) -> float | None:
    """Seconds until the job at this position starts, if that can be told.

    ``usual`` says how long jobs of each task take, ``left`` how much longer each running one.
    """
    if position is None or not slots:
        return None
    ends = sorted(left)
    turn = position - max(0, slots - len(ends))  # which of the running jobs has to end first
    if turn <= 0:
        return 0.0
    if turn <= len(ends):
        starts = ends[turn - 1]
    else:
        each = sum(usual.values()) / len(usual) if usual else inf
        starts = max(ends, default=0.0) + each * (turn - len(ends)) / slots
    return None if starts == inf else float(round(starts))


def left_of(
    usual: Mapping[str, float],
    now: float,
    task: str,
    started_at: float,
    fraction: float | None,
    progressed_at: float | None,
) -> float:
    """How much longer a running job takes, by its progress, else by its task."""
    if fraction and progressed_at is not None:
        ends_at = started_at + (progressed_at - started_at) / min(fraction, 1.0)
    else:
        ends_at = started_at + usual.get(task, inf)
    return max(0.0, ends_at - now)
