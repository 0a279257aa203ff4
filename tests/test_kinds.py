"""Each kind of process job that is hard to kill, once: only it fails, and nothing is left of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SLACK = 60.0


def test_no_monster_harms_an_innocent_job_or_leaves_anything_behind() -> None:
    command = [sys.executable, "-m", "chaos.kinds", "--rounds", "1", "--slack", str(SLACK)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "BROKEN" in done.stdout) == (0, False), done.stdout + done.stderr
