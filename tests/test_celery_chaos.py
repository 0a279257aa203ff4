"""The faults of Celery's workers in ``chaos/``, in a short form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SLACK = "60"  # a slow machine breaks no promise


@pytest.mark.parametrize(
    ("scenario", "rounds"),
    [
        *(("kills", 1), ("children", 2), ("restarts", 2), ("amnesia", 4)),
        *(("line", 4), ("tokens", 4)),
    ],
)
def test_a_fault_breaks_nothing(scenario: str, rounds: int) -> None:
    command = [sys.executable, "-m", f"chaos.celery_{scenario}", "--rounds", str(rounds)]
    done = subprocess.run(
        [*command, "--slack", SLACK], cwd=ROOT, capture_output=True, text=True, check=False
    )
    printed = done.stdout + done.stderr
    assert (done.returncode, "BROKEN" in printed) == (0, False), printed
