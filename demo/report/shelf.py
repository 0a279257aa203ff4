"""Shelf: the reports of each visitor and their files, in the instance folder."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SCHEMA = """
    CREATE TABLE IF NOT EXISTS report (
        id TEXT PRIMARY KEY,
        visitor TEXT NOT NULL,
        name TEXT NOT NULL,
        size INTEGER NOT NULL,
        encoding TEXT NOT NULL,
        source TEXT NOT NULL,
        job TEXT NOT NULL,
        created_at REAL NOT NULL
    )
"""
INSERT = "INSERT INTO report VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
NEWEST_FIRST = "SELECT * FROM report WHERE visitor = ? ORDER BY created_at DESC, rowid DESC"


@dataclass(frozen=True, slots=True)
class Report:
    """A file that a visitor brought, the job that reads it, and where the summary goes."""

    id: str
    visitor: str
    name: str
    size: int
    encoding: str
    source: Path
    job: str
    created_at: datetime
    folder: Path

    @property
    def summary(self) -> Path:
        return self.folder / "summary.json"


class Shelf:
    """Keeps reports; what is not the visitor's own is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "reports"
        self.folder.mkdir(parents=True, exist_ok=True)

    def new_folder(self) -> Path:
        """Make an empty folder, named by the id of the report to come."""
        folder = self.folder / secrets.token_urlsafe(12)
        folder.mkdir()
        return folder

    def add(self, report: Report) -> None:
        created_at = report.created_at.timestamp()
        row = (report.id, report.visitor, report.name, report.size, report.encoding)
        with self._index() as index:
            index.execute(INSERT, (*row, str(report.source), report.job, created_at))

    def get(self, visitor: str, id: str) -> Report | None:
        return next((report for report in self.of(visitor) if report.id == id), None)

    def of(self, visitor: str) -> list[Report]:
        """List the visitor's reports, newest first."""
        with self._index() as index:
            rows = index.execute(NEWEST_FIRST, (visitor,)).fetchall()
        return [self._report(*row) for row in rows]

    def change_job(self, report: Report, job: str) -> None:
        with self._index() as index:
            index.execute("UPDATE report SET job = ? WHERE id = ?", (job, report.id))

    def remove(self, report: Report) -> None:
        with self._index() as index:
            index.execute("DELETE FROM report WHERE id = ?", (report.id,))
        shutil.rmtree(report.folder, ignore_errors=True)

    def _report(
        self,
        id: str,
        visitor: str,
        name: str,
        size: int,
        encoding: str,
        source: str,
        job: str,
        created_at: float,
    ) -> Report:
        at = datetime.fromtimestamp(created_at, UTC)
        folder = self.folder / id
        return Report(id, visitor, name, size, encoding, Path(source), job, at, folder)

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.folder / "index.db", timeout=30)
        try:
            with connection:
                connection.execute(SCHEMA)
                yield connection
        finally:
            connection.close()
