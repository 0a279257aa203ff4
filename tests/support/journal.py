"""The journal: what tasks say of themselves, independent of any store.

A task writes a line when it starts and when it ends, into a file that only grows; a process
that is killed in the middle leaves a start without an end. The checker reads it back::

    from support.journal import noted

    with noted(current_job.id, current_job.attempt):
        ...
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FILE = "JOURNAL"


@dataclass(frozen=True)
class Entry:
    """One line: what happened to which attempt of which job, and in which process."""

    event: str
    id: str
    attempt: int
    pid: int


def note(event: str, id: str, attempt: int = 1) -> None:
    """Write one line; whole lines of many processes never mix."""
    descriptor = os.open(os.environ[FILE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, f"{event} {id} {attempt} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


@contextmanager
def noted(id: str, attempt: int = 1) -> Iterator[None]:
    """Note the start of an attempt, and its end if it ends by itself."""
    note("start", id, attempt)
    yield
    note("end", id, attempt)


class Journal:
    """Reads the journal at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, event: str | None = None) -> list[Entry]:
        """All lines so far, in the order they were written."""
        if not self.path.exists():
            return []
        entries = [_entry(line) for line in self.path.read_text().splitlines()]
        return [entry for entry in entries if event in (None, entry.event)]

    def starts(self, id: str) -> int:
        """How often the job was started."""
        return sum(entry.id == id for entry in self.entries("start"))

    def started(self) -> set[str]:
        """Jobs with a start."""
        return {entry.id for entry in self.entries("start")}

    def ended(self) -> set[str]:
        """Jobs with an end."""
        return {entry.id for entry in self.entries("end")}

    def unfinished(self) -> set[str]:
        """Jobs that started and have not ended in any attempt."""
        return self.started() - self.ended()

    def pids(self, id: str) -> list[int]:
        """The processes that started the job, in order."""
        return [entry.pid for entry in self.entries("start") if entry.id == id]


def _entry(line: str) -> Entry:
    event, id, attempt, pid = line.split()
    return Entry(event, id, int(attempt), int(pid))
