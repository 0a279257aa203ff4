"""Kinship: how processes are bound to each other, by the means of the operating system."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

ON_LINUX = sys.platform == "linux"
PROC = Path("/proc")
PAUSE = 0.005
PATIENCE = 10.0
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of all descendants that lose theirs, where the system can do that."""
    if ON_LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Be killed when the parent ends, which is the process that forked this one."""
    if ON_LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


class ChildAlarm:
    """A socket that is readable once a child has ended.

    Signals that ask a process to end do nothing from now on: what they are about is told by
    closing a socket.
    """

    def __init__(self) -> None:
        self._heard, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        for number in (signal.SIGCHLD, *ASKING):
            signal.signal(number, carry_on)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._heard.fileno()

    def silence(self) -> None:
        """Until the next child has ended."""
        self._heard.recv(4096)

    def close(self) -> None:
        """For good; a forked child does so too."""
        signal.set_wakeup_fd(-1)
        self._heard.close()
        self._sender.close()


def carry_on(number: int, frame: FrameType | None) -> None:
    """Handles a signal by doing nothing; one that is ignored would stay so in all children."""


def limit_memory(size: int) -> None:
    """Refuse this process, and those that it starts, more than so many bytes of data."""
    kind = resource.RLIMIT_DATA if ON_LINUX else resource.RLIMIT_AS
    resource.setrlimit(kind, (size, size))


def kill_group(leader: int) -> None:
    """SIGKILL to all that are left of a process's group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def reap() -> dict[int, int]:
    """The children that have ended since this was asked last, and their wait statuses."""
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended[pid] = status
    return ended


def kill_children(spared: frozenset[int] = frozenset()) -> dict[int, int]:
    """SIGKILL to all children and those they leave behind; gives back what ``reap`` does."""
    ended = reap()
    deadline = time.monotonic() + PATIENCE
    while (left := children() - spared) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE)
        ended |= reap()
    return ended


def has_children() -> bool:
    """Whether this process has children, ended or not, where that can be known."""
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children() -> set[int]:
    """The children of this process that were not reaped; empty where that cannot be known."""
    if not has_children():
        return set()
    own = str(os.getpid()).encode()
    return {int(entry.name) for entry in _processes() if _parent(entry) == own}


def _processes() -> list[Path]:
    if not PROC.is_dir():
        return []
    return [entry for entry in PROC.iterdir() if entry.name.isdigit()]


def _parent(entry: Path) -> bytes | None:
    try:
        stat = (entry / "stat").read_bytes()
    except OSError:
        return None  # it has ended
    # The name in the second field may hold blanks and brackets: read on after the last one.
    return stat.rpartition(b")")[2].split()[1]
