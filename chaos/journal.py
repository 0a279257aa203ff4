"""The journal: what clients were told and what tasks saw, in a file that only grows.

It knows nothing of any store. A process that is killed leaves an attempt that began and did not
end; who kills it or tells it to stop says so here, before.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.environment import JOURNAL
from support import processes

DEATHS = ("killed", "dies")
"""The events after which a process is no more."""


@dataclass(frozen=True)
class Entry:
    """One line: what happened to which job, under which fence, in which process, and when.

    ``at`` is in seconds by the machine's monotonic clock. ``word`` is what the event has to add.
    """

    event: str
    id: str
    fence: int
    process: str
    at: float
    word: str


@dataclass(frozen=True)
class Attempt:
    """One run of a job's function. ``ended`` is false while it runs, and for ever if it died."""

    id: str
    fence: int
    process: str
    at: float
    ended: bool


def this_process() -> str:
    """This process's name in the journal; it begins with the mark of what was started."""
    return f"{os.environ.get(processes.MARK, '')}{os.getpid()}"


def note(event: str, id: str = "", fence: int = 0, word: str = "", process: str = "") -> None:
    """Write one line; whole lines of many processes never mix."""
    values = [event, id, fence, process or this_process(), time.monotonic(), word]
    descriptor = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, json.dumps(values).encode() + b"\n")
    finally:
        os.close(descriptor)


@contextmanager
def noted(id: str, fence: int) -> Iterator[None]:
    """Note that an attempt begins, and that it ends if it does by itself."""
    note("began", id, fence)
    yield
    note("ended", id, fence)


class Journal:
    """Reads the journal at ``path``, each time what is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._read = 0
        self._entries: list[Entry] = []
        self._of_event: dict[str, list[Entry]] = defaultdict(list)

    def entries(self, event: str | None = None) -> list[Entry]:
        """All lines so far, in the order in which they were written."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for line in whole.splitlines():
            entry = Entry(*json.loads(line))
            self._entries.append(entry)
            self._of_event[entry.event].append(entry)
        return list(self._entries if event is None else self._of_event[event])

    def attempts(self) -> list[Attempt]:
        """All attempts so far, in the order in which they began."""
        began = self.entries("began")
        ended = {(entry.id, entry.fence) for entry in self.entries("ended")}
        return [
            Attempt(each.id, each.fence, each.process, each.at, (each.id, each.fence) in ended)
            for each in began
        ]

    def going_on(self, processes: str) -> list[Attempt]:
        """Those that have not ended, of one process or of all that were started together."""
        dead = {entry.process for event in DEATHS for entry in self.entries(event)}
        return [
            attempt
            for attempt in self.attempts()
            if not attempt.ended
            and attempt.process not in dead
            and is_of(attempt.process, processes)
        ]

    def cut_off(self, names: Iterable[str]) -> list[Attempt]:
        """Those that these processes began and did not end."""
        return [each for each in self.attempts() if not each.ended and each.process in names]


def is_of(process: str, processes: str) -> bool:
    """Whether a process is the one named, or one of those whose mark this is."""
    return process == processes or (processes.endswith(".") and process.startswith(processes))
