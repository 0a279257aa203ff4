"""The stage: plays scenarios, one after the other, and prints what became of them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from chaos.checker import Breach
from chaos.environment import DEFECT
from chaos.scene import Scene
from chaos.table import Row, head, lines

SLACK = 2.0


class Scenario(Protocol):
    """A module with a fault in it."""

    ROUNDS: int
    DEFECTS: dict[str, str]

    def play(self, scene: Scene, rounds: int) -> None: ...


def main(scenario: Scenario) -> None:
    """The command of one scenario."""
    sys.exit(run([scenario], _parser().parse_args()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", 0)))
    parser.add_argument("--slack", type=float, default=SLACK, help="seconds that may be lost")
    return parser


def run(scenarios: Sequence[Scenario], options: argparse.Namespace) -> int:
    """Play them all; gives back the exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(head())
    rows = [_played(each, options.rounds or each.ROUNDS, options.slack) for each in scenarios]
    return 1 if any(row.breaches for row in rows) else 0


def _played(scenario: Scenario, rounds: int, slack: float) -> Row:
    began = time.monotonic()
    scene = Scene(slack)
    breaches: list[Breach] = []
    try:
        scenario.play(scene, rounds)
    except AssertionError as failure:  # something waited for has not come
        breaches.append(Breach("deadline", str(failure)))
    finally:
        breaches += scene.close()
    row = Row(_name(scenario), scene.done, scene.found, time.monotonic() - began, tuple(breaches))
    print(*lines(row), sep="\n", flush=True)
    if breaches and DEFECT not in os.environ:
        print(f"  What there is to see is kept in {scene.folder}")
    else:
        scene.remove()
    return row


def _name(scenario: Scenario) -> str:
    return scenario.play.__module__.rpartition(".")[2]
