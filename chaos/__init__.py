"""Faults as commands: ``python -m chaos`` does them all and says what they broke.

Each scenario is a module with ``play(scene, rounds)``, ``ROUNDS`` for a release and ``DEFECTS``:
what it must notice, each with the invariant that is then broken. The product runs in processes
of its own; nothing here but the app and its client imports it.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Latches, servers and processes are held as in the tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
