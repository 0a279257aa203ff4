"""The app of the monsters, a task for each way in which their jobs are to end."""

from __future__ import annotations

from chaos.app import app, attempt, tasks
from chaos.journal import note
from chaos.monsters import LIMIT, MONSTERS
from flask_backburner import current_job

__all__ = ["app"]


@tasks.task(process=True, timeout=LIMIT)
def outlast(kind: str) -> int:
    """Go on until it is stopped."""
    return _let_loose(kind)


@tasks.task(process=True, timeout=10 * LIMIT, on_crash="fail")
def die(kind: str) -> int:
    """End the process."""
    with attempt() as fence:
        note("dies", current_job.id, fence, kind)
        MONSTERS[kind]()
        return fence


@tasks.task(process=True, timeout=10 * LIMIT)
def fail(kind: str) -> int:
    """Raise something."""
    return _let_loose(kind)


@tasks.task(process=True, timeout=10 * LIMIT)
def survive(kind: str) -> int:
    """Return, and leave the process in a bad state."""
    return _let_loose(kind)


@tasks.task(process=True, timeout=10 * LIMIT)
def innocent() -> int:
    """What runs beside the monsters, and after them."""
    with attempt() as fence:
        for _ in current_job.track(range(3)):
            current_job.log("digging")
        return fence


def _let_loose(kind: str) -> int:
    with attempt() as fence:
        MONSTERS[kind]()
        return fence
