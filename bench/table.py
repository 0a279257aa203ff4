"""Rows of figures: several rounds of a measurement, printed as median and spread."""

from __future__ import annotations

import statistics
from collections.abc import Callable

ROUNDS = 5


def row(name: str, unit: str, measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    """Measure some rounds, print median and spread, and give back the median."""
    figures = [measure() for _ in range(rounds)]
    median = statistics.median(figures)
    print(f"{name:<58} {median:>12,.1f} {unit:<8} ({min(figures):,.1f} to {max(figures):,.1f})")
    return median
