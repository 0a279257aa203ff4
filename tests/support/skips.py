"""With ``CI=true`` a skipped test is a failure, unless it is on the list with its reason."""

from __future__ import annotations

import os
from pathlib import Path

ALLOWED = Path(__file__).resolve().parents[1] / "allowed_skips.txt"


def forbid(nodeid: str, reason: str, allowed: Path = ALLOWED) -> str | None:
    """What to say if this skip is not allowed here, else None."""
    if os.environ.get("CI") != "true" or nodeid in read(allowed):
        return None
    return (
        f"{nodeid} was skipped ({reason}). Under CI=true everything runs: install what is "
        f"missing, or list the test with a reason in {allowed.name}."
    )


def read(path: Path) -> dict[str, str]:
    """The listed tests and why each may be skipped; a line without a reason is refused."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    pairs = [line.partition("  # ") for line in lines if line and not line.startswith("#")]
    without = [nodeid for nodeid, _, reason in pairs if not reason.strip()]
    if without:
        raise ValueError(f"{path}: each line is '<test>  # <reason>'; no reason for {without}")
    return {nodeid.strip(): reason.strip() for nodeid, _, reason in pairs}
