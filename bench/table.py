"""Rows of figures: several rounds of a measurement, printed as median and spread."""

from __future__ import annotations

import statistics
from collections.abc import Callable

ROUNDS = 5


def row(name: str, unit: str, measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    """Measure some rounds, print median and spread, and give back the median."""
    figures = [measure() for _ in range(rounds)]
    median = statistics.median(figures)
    digits = 2 if unit == "s" else 1
    least, most = min(figures), max(figures)
    print(
        f"{name:<58} {median:>12,.{digits}f} {unit:<8} ({least:,.{digits}f} to {most:,.{digits}f})"
    )
    return median
