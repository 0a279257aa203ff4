"""Table: the rows of a source in SQLite, and what each column holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.report.source import DATE, NUMBER, Broken, Source
from flask_backburner import JobError, current_job
from flask_backburner.errors import JobInterrupted

LOADING = 0.7  # of the whole time, on files of 1 MB to 1 GB
KEPT_BROKEN = 1_000
LOGGED_BROKEN = 100
LOG_EVERY = 100_000


@dataclass(slots=True)
class Column:
    """A column while it is read: ``kind`` is what all its values so far have in common."""

    name: str
    kind: str | None = None

    def see(self, value: str) -> None:
        if value and self.kind != "text" and not self._fits(value):
            self.kind = "text"

    def _fits(self, value: str) -> bool:
        if self.kind is None:
            self.kind = "number" if NUMBER.fullmatch(value) else "date"
        pattern = NUMBER if self.kind == "number" else DATE
        return pattern.fullmatch(value) is not None


@dataclass(slots=True)
class Table:
    """Rows in a database, in the order of the file; broken ones are counted and the first kept."""

    database: sqlite3.Connection
    columns: list[Column]
    rows: int = 0
    broken: int = 0
    first_broken: list[Broken] = field(default_factory=list)

    def load(self, source: Source) -> None:
        """Store all rows of ``source`` in one transaction, reporting each as progress."""
        names = ", ".join(f"c{index} TEXT NOT NULL" for index in range(len(self.columns)))
        marks = ", ".join("?" * len(self.columns))
        self.database.execute(f"CREATE TABLE entry ({names})")
        with self.database:
            insert = f"INSERT INTO entry VALUES ({marks})"
            self.database.executemany(insert, self._readable(source))
        self._check_not_all_broken()

    def _readable(self, source: Source) -> Iterator[list[str]]:
        total = int(source.size / LOADING)
        for row in source:
            current_job.progress(source.bytes_read, total, "Loading rows")
            if isinstance(row, Broken):
                self._set_aside(row)
            else:
                self._take(row)
                yield row

    def _take(self, row: list[str]) -> None:
        for column, value in zip(self.columns, row, strict=True):
            column.see(value)
        self.rows += 1
        if self.rows % LOG_EVERY == 0:
            current_job.log(f"{self.rows:,} rows loaded")

    def _set_aside(self, row: Broken) -> None:
        self.broken += 1
        if self.broken <= KEPT_BROKEN:
            self.first_broken.append(row)
        if self.broken <= LOGGED_BROKEN:
            current_job.log(f"Line {row.line:,} left out: {row.reason}")
        elif self.broken == LOGGED_BROKEN + 1:
            current_job.log("More broken rows follow; they are counted and no longer listed here")

    def _check_not_all_broken(self) -> None:
        if self.broken and not self.rows:
            first = self.first_broken[0]
            raise JobError(
                f"None of the {self.broken:,} rows could be read. "
                f"The first is in line {first.line:,}: {first.reason}."
            )


@contextmanager
def building(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a new database that appears at ``path`` when all went well, and else nowhere.

    A cancel reaches long queries, too.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    database = sqlite3.connect(part)
    try:
        database.execute("PRAGMA journal_mode = OFF")
        database.set_progress_handler(interruption_wanted, 100_000)
        yield database
        database.close()
        part.replace(path)
    except sqlite3.OperationalError:
        current_job.check_cancelled()
        raise
    finally:
        database.close()
        part.unlink(missing_ok=True)


def interruption_wanted() -> bool:
    try:
        current_job.check_cancelled()
    except JobInterrupted:
        return True
    return False
