"""Which processes there are, read from /proc: the whole family of a process, orphans too.

Every process that a test starts inherits a mark in its environment. So one that lost its
parent (and thereby its place in the tree) is still found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from support.waiting import until

MARK = "TESTS_MARK"


def alive(pid: int) -> bool:
    """Whether the process still runs; a zombie does not."""
    return _state(pid) not in (None, "Z", "X")


def descendants(pid: int) -> set[int]:
    """Children, their children and so on, without zombies."""
    children: dict[int, list[int]] = {}
    for other in every():
        children.setdefault(_parent(other), []).append(other)
    found: set[int] = set()
    wave = children.get(pid, [])
    while wave:
        found.update(wave)
        wave = [grandchild for child in wave for grandchild in children.get(child, [])]
    return {pid for pid in found if alive(pid)}


def marked(mark: str, among: Iterable[int] | None = None) -> set[int]:
    """Processes whose environment carries ``mark`` (or a longer one that begins with it)."""
    wanted = f"{MARK}={mark}".encode()
    found = every() if among is None else among
    return {pid for pid in found if _carries(pid, wanted) and alive(pid)}


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send the signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_all(pids: Iterable[int], deadline: float = 5.0) -> None:
    """``kill -9`` them and wait until none runs."""
    pids = list(pids)
    for pid in pids:
        kill(pid)
    until(lambda: not any(map(alive, pids)), deadline, f"the end of {pids} after SIGKILL")


def command(pid: int) -> str:
    """The command line, to show to a reader."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def every() -> set[int]:
    """Every process of the machine."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _carries(pid: int, wanted: bytes) -> bool:
    return any(variable.startswith(wanted) for variable in _read(pid, "environ").split(b"\0"))


def _state(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[0] if fields else None


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    # The command in the second field may hold blanks and brackets: read on after the last one.
    return _read(pid, "stat").decode(errors="replace").rpartition(")")[2].split()


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
