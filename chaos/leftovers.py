"""What a scenario left behind although all that it started has ended."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from support import processes


def marked(marks: Iterable[str]) -> set[int]:
    """The processes that were started under these marks, orphans too."""
    return set().union(*(processes.marked(mark) for mark in marks))


def descriptors(folder: Path) -> list[str]:
    """What other processes have open in the folder."""
    found = []
    for pid in processes.every() - {os.getpid()}:
        for number in _listed(f"/proc/{pid}/fd"):
            target = _target(f"/proc/{pid}/fd/{number}")
            if target.startswith(f"{folder}/"):
                found.append(f"process {pid} has {target} open: {processes.command(pid)}")
    return found


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
