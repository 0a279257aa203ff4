"""The ledger: what the database file says, read by SQL of our own."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class Row:
    """A job as the file has it. ``code`` says why it failed, ``result`` is JSON."""

    id: str
    task: str
    state: str
    version: int
    fence: int
    crashes: int
    failures: int
    worker: str | None
    current: float | None
    total: float | None
    code: str | None
    result: bytes | None

    @property
    def final(self) -> bool:
        return self.state in FINAL


class Ledger:
    """Reads the database at ``path``. It never writes, and holds nothing between two looks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What is found; nothing as long as there is no file, or no table in it."""
        if not self.path.exists():
            return []
        address = f"file:{self.path}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=5, isolation_level=None)) as file:
            tables = file.execute("SELECT count(*) FROM sqlite_master").fetchall()
            return file.execute(sql).fetchall() if tables != [(0,)] else []

    def jobs(self) -> dict[str, Row]:
        """All jobs by id."""
        rows = self._rows(
            """
            SELECT id, task, state, version, fence, crashes, failures, worker, current, total,
                (SELECT code FROM faults WHERE faults.seq = jobs.seq),
                (SELECT data FROM results WHERE results.seq = jobs.seq)
            FROM jobs
            """
        )
        return {row[0]: Row(*row) for row in rows}

    def unfinished(self) -> list[str]:
        """The ids of the jobs that are not over."""
        final = ", ".join(f"'{state}'" for state in FINAL)
        return [id for (id,) in self._rows(f"SELECT id FROM jobs WHERE state NOT IN ({final})")]

    def counted(self) -> dict[tuple[str, str], int]:
        """How many jobs of each queue are in each state, counted."""
        rows = self._rows("SELECT queue, state, count(*) FROM jobs GROUP BY queue, state")
        return {(queue, state): jobs for queue, state, jobs in rows}

    def counters(self) -> dict[tuple[str, str], int]:
        """The same as the product keeps it."""
        rows = self._rows("SELECT queue, state, jobs FROM counters WHERE jobs != 0")
        return {(queue, state): jobs for queue, state, jobs in rows}

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with the file."""
        return [word for (word,) in self._rows("PRAGMA integrity_check") if word != "ok"]

    def wal_bytes(self) -> int:
        """The size of the write-ahead log."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    def locks(self) -> list[Path]:
        """The lock files beside the database that somebody holds."""
        live = Path(f"{self.path}.live")
        files = [Path(f"{self.path}.gate"), *(live.iterdir() if live.exists() else ())]
        return [file for file in files if file.exists() and _is_locked(file)]

    def living(self) -> set[str]:
        """The workers whose sign of life is held, by the end of its file's name."""
        return {file.name for file in self.locks() if file.name.startswith("worker-")}


def _is_locked(file: Path) -> bool:
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
