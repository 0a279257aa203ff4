"""What outlives a test although it should not: threads, processes, sockets, open files."""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import dataclass

from support import processes
from support.servers import session_mark
from support.waiting import until

DESCRIPTORS = "/proc/self/fd"
ON_LINUX = os.path.isdir(DESCRIPTORS)
DEADLINE = 30.0


@dataclass(frozen=True)
class Snapshot:
    """What is there now. Things of wider fixtures (a browser) are there before the test is."""

    threads: frozenset[threading.Thread]
    processes: frozenset[int]
    descriptors: frozenset[tuple[int, str]]

    @classmethod
    def take(cls) -> Snapshot:
        return cls(
            threads=frozenset(threading.enumerate()),
            processes=frozenset(processes.every() if ON_LINUX else ()),
            descriptors=frozenset(_descriptors()),
        )

    def leaks(self) -> list[str]:
        """One line for each thing that is there now and was not then."""
        return [*self._threads(), *self._processes(), *self._descriptors()]

    def settle(self, deadline: float = DEADLINE) -> list[str]:
        """Give what is just ending time to end; then what is left."""
        if not self.leaks():
            return []
        gc.collect()
        try:
            until(lambda: not self.leaks(), deadline)
        except AssertionError:
            return self.leaks()
        return []

    def _threads(self) -> list[str]:
        left = [t for t in threading.enumerate() if t not in self.threads and t.is_alive()]
        return [f"thread {thread.name!r}" for thread in left]

    def _processes(self) -> list[str]:
        if not ON_LINUX:
            return []
        ours = processes.descendants(os.getpid())
        ours |= processes.marked(session_mark(), processes.every() - self.processes)
        return [f"process {pid}: {processes.command(pid)}" for pid in sorted(self._new(ours))]

    def _new(self, pids: set[int]) -> set[int]:
        # A browser that was there before the test may start and end children as it likes.
        older = [processes.descendants(pid) for pid in pids & self.processes]
        return pids - self.processes - set().union(*older)

    def _descriptors(self) -> list[str]:
        return [f"descriptor {fd}: {to}" for fd, to in sorted(_descriptors() - self.descriptors)]


def _descriptors() -> set[tuple[int, str]]:
    if not ON_LINUX:
        return set()
    found = {(int(name), _target(name)) for name in os.listdir(DESCRIPTORS)}
    return {(fd, target) for fd, target in found if _matters(target)}


def _target(name: str) -> str:
    try:
        return os.readlink(f"{DESCRIPTORS}/{name}")
    except FileNotFoundError:
        return ""


def _matters(target: str) -> bool:
    return target.startswith("socket:") or (
        target.startswith("/") and not target.startswith(("/dev/", "/proc/"))
    )
