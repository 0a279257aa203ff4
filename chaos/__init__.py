"""Faults as commands: ``python -m chaos`` does them all and says what they broke.

The product runs in processes of its own. What judges it, which is everything here but the apps,
those who start their jobs, and the defects, imports nothing of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Latches, servers and processes are held as in the tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
