"""What was done and what was found: a row for each scenario."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from chaos.checker import Breach

WIDTH = 45


@dataclass(frozen=True)
class Row:
    """A scenario that was played."""

    name: str
    done: str
    found: str
    seconds: float
    breaches: tuple[Breach, ...]


def head() -> str:
    return f"{'scenario':<15} {'done':<{WIDTH}}  {'found':<{WIDTH}} {'s':>5}"


def lines(row: Row) -> list[str]:
    """The row, over as many lines as it takes, and below it what was broken."""
    done, found = (textwrap.wrap(text, WIDTH) or [""] for text in (row.done, row.found))
    height = max(len(done), len(found))
    done += [""] * (height - len(done))
    found += [""] * (height - len(found))
    left = [row.name, *[""] * (height - 1)]
    right = [f"{row.seconds:.0f}", *[""] * (height - 1)]
    table = [
        f"{name:<15} {did:<{WIDTH}}  {saw:<{WIDTH}} {seconds:>5}".rstrip()
        for name, did, saw, seconds in zip(left, done, found, right, strict=True)
    ]
    return table + [f"  BROKEN {each.invariant}: {each.words}" for each in row.breaches]
