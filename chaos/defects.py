"""Defects: what the checker must notice, each a few lines of the product replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_backburner.store import line, rescue
from flask_backburner.store.base import Claim
from flask_backburner.store.liveness import FilePresence
from flask_backburner.store.transaction import Transaction


def delete_on_pop() -> None:
    """A job that is taken is in nobody's line any more; who dies takes it along."""

    def forget(tx: Transaction, worker: str, *others: Any, **more: Any) -> list[str]:
        tx.execute("DELETE FROM jobs WHERE worker = ? AND state = 'running'", (worker,))
        return []

    replace(rescue, "rescue", forget)


def no_rescue() -> None:
    """Nobody takes up what the dead leave."""
    replace(rescue, "rescue", lambda *others, **more: [])


def claimed_is_started() -> None:
    """A job counts as started as soon as it is claimed."""
    hold = FilePresence.hold

    def hold_as_started(presence: FilePresence, claims: tuple[Claim, ...]) -> None:
        hold(presence, claims)
        for claim in claims:
            presence.started(claim)

    replace(FilePresence, "hold", hold_as_started)


def not_alone() -> None:
    """A job that has crashed often stands in line like any other."""
    replace(line, "mark", lambda crashes: f"CASE WHEN {crashes} >= 0 THEN 1 END")


def replace(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


_ALL = (delete_on_pop, no_rescue, claimed_is_started, not_alone)
DEFECTS: dict[str, Callable[[], None]] = {each.__name__: each for each in _ALL}


def install(name: str | None) -> None:
    """Replace what the defect replaces, in this process."""
    if name:
        DEFECTS[name]()
