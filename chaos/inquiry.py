"""The inquiry: whether each scenario notices the defects that it must."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from chaos.environment import DEFECT
from chaos.scene import ROOT
from chaos.stage import Scenario, name_of


def inquire(scenarios: Sequence[Scenario]) -> int:
    """Play each with each of its defects; gives back 1 if one went unnoticed."""
    print(f"{'scenario':<15} {'defect':<20} {'breaks':<10} {'':<10} {'s':>5}")
    noticed = [
        _noticed(scenario, defect, invariant)
        for scenario in scenarios
        for defect, invariant in scenario.DEFECTS.items()
    ]
    return 0 if all(noticed) else 1


def _noticed(scenario: Scenario, defect: str, invariant: str) -> bool:
    began, name = time.monotonic(), name_of(scenario)
    played = subprocess.run(
        [sys.executable, "-m", f"chaos.{name}", "--rounds", str(scenario.SHORT)],
        cwd=ROOT,
        env=os.environ | {DEFECT: defect},
        capture_output=True,
        text=True,
    )
    noticed = played.returncode == 1 and f"BROKEN {invariant}:" in played.stdout
    word, took = "noticed" if noticed else "UNNOTICED", time.monotonic() - began
    print(f"{name:<15} {defect:<20} {invariant:<10} {word:<10} {took:>5.0f}", flush=True)
    if not noticed:
        print(played.stdout, played.stderr)
    return noticed
