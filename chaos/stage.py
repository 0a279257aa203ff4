"""The stage: plays scenarios, one after the other, and prints what became of them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

from chaos.checker import Breach
from chaos.environment import DEFECT
from chaos.scene import Scene
from chaos.table import Row, head, lines


class Scenario(Protocol):
    """A module with a fault in it.

    ``ROUNDS`` are those of a release; ``SHORT`` ones already show each of the ``DEFECTS``, which
    are named with the invariant that they break. A ``SCENE`` is named where the ordinary one
    will not do.
    """

    @property
    def ROUNDS(self) -> int: ...

    @property
    def SHORT(self) -> int: ...

    @property
    def DEFECTS(self) -> dict[str, str]: ...

    def play(self, scene: Any, rounds: int) -> None: ...


def main(scenario: Scenario) -> None:
    """The command of one scenario."""
    sys.exit(run([scenario], parser().parse_args()))


def parser() -> argparse.ArgumentParser:
    """What all commands here understand."""
    options = argparse.ArgumentParser()
    options.add_argument(
        "--rounds",
        type=int,
        default=int(os.environ.get("ROUNDS") or 0),
        help="how often the fault is done; by default as often as for a release",
    )
    options.add_argument(
        "--slack", type=float, default=0.0, help="seconds that may be lost where time is judged"
    )
    return options


def run(scenarios: Sequence[Scenario], options: argparse.Namespace) -> int:
    """Play them all; gives back the exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored by all others
    print(head())
    rows = [_played(each, options.rounds or each.ROUNDS, options.slack) for each in scenarios]
    return 1 if any(row.breaches for row in rows) else 0


def _played(scenario: Scenario, rounds: int, slack: float) -> Row:
    began = time.monotonic()
    scene = getattr(scenario, "SCENE", Scene)(slack)
    breaches: list[Breach] = []
    try:
        scenario.play(scene, rounds)
    except AssertionError as failure:  # something waited for has not come
        breaches.append(Breach("deadline", str(failure)))
    finally:
        breaches += scene.close()
    row = Row(name_of(scenario), scene.done, scene.found, time.monotonic() - began, tuple(breaches))
    print(*lines(row), sep="\n", flush=True)
    if breaches and DEFECT not in os.environ:
        print(f"  What there is to see is kept in {scene.folder}")
    else:
        scene.remove()
    return row


def name_of(scenario: Scenario) -> str:
    """What the scenario is called on the command line."""
    return scenario.play.__module__.rpartition(".")[2]
