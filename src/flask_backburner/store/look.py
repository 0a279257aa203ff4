"""Looks at the jobs of a SQLite store, as they are at one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from ..clock import moment
from ..errors import JobForgotten, JobNotFound
from ..record import JobFile, JobRecord, Line, ResultKind, State
from .base import Mark
from .claims import paused_queues
from .rows import COLUMNS, read_record

_END = 1 << 62


class Look:
    """A connection to read from, for the jobs of one namespace at the time ``now``."""

    def __init__(self, connection: sqlite3.Connection, namespace: int, now: float) -> None:
        self.connection = connection
        self.namespace = namespace
        self.now = now

    def _rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query; none is left half read."""
        return self.connection.execute(sql, parameters).fetchall()

    def get(self, id: str) -> JobRecord:
        rows = self._rows(
            f"""
            SELECT {COLUMNS}
            FROM jobs LEFT JOIN faults USING (seq)
            WHERE id = ? AND namespace = ?
            """,
            id,
            self.namespace,
        )
        if not rows:
            raise self._unknown(id)
        record = read_record(rows[0])
        if record.kept_until is not None and record.kept_until.timestamp() <= self.now:
            raise JobForgotten(id, record.owner)
        return record

    def _unknown(self, id: str) -> JobNotFound:
        rows = self._rows(
            "SELECT owner FROM tombstones WHERE id = ? AND namespace = ?", id, self.namespace
        )
        return JobForgotten(id, rows[0][0]) if rows else JobNotFound(id)

    def seq(self, id: str) -> int:
        """The number of a job. Raises ``JobNotFound``."""
        rows = self._rows("SELECT seq FROM jobs WHERE id = ? AND namespace = ?", id, self.namespace)
        if not rows:
            raise self._unknown(id)
        return int(rows[0][0])

    def named(self, alias: str) -> str:
        rows = self._rows(
            "SELECT id FROM jobs WHERE namespace = ? AND alias = ?", self.namespace, alias
        )
        if not rows:
            raise JobNotFound(alias)
        return str(rows[0][0])

    def saved(self, id: str) -> dict[str, bytes]:
        return dict(
            self._rows(
                """
                SELECT key, data FROM saved
                WHERE seq = (SELECT seq FROM jobs WHERE id = ? AND namespace = ?)
                """,
                id,
                self.namespace,
            )
        )

    def marks(self, ids: Collection[str]) -> dict[str, Mark]:
        rows = self._rows(
            f"""
            SELECT id, version, last_line, state
            FROM jobs
            WHERE id IN ({", ".join("?" * len(ids))}) AND namespace = ?
            """,
            *ids,
            self.namespace,
        )
        return {id: Mark(version, line, State(state)) for id, version, line, state in rows}

    def find(
        self, wanted: Mapping[str, str | None], limit: int, before: str | None
    ) -> list[JobRecord]:
        chosen = {column: value for column, value in wanted.items() if value is not None}
        rows = self._rows(
            f"""
            SELECT {COLUMNS}
            FROM jobs LEFT JOIN faults USING (seq)
            WHERE namespace = ? AND seq < ?
            {" ".join(f"AND {column} = ?" for column in chosen)}
            ORDER BY seq DESC
            LIMIT ?
            """,
            self.namespace,
            _END if before is None else self.seq(before),
            *chosen.values(),
            limit,
        )
        return [read_record(row) for row in rows]

    def result(self, id: str) -> tuple[ResultKind, bytes] | None:
        rows = self._rows(
            """
            SELECT coalesce(kind, 'value'), coalesce(results.data, x'6e756c6c')  -- null
            FROM jobs LEFT JOIN results USING (seq)
            WHERE id = ? AND namespace = ? AND state = 'succeeded'
            """,
            id,
            self.namespace,
        )
        return (ResultKind(rows[0][0]), bytes(rows[0][1])) if rows else None

    def files(self, id: str) -> list[JobFile]:
        rows = self._rows(
            "SELECT name, type, size FROM files WHERE seq = ? ORDER BY name", self.seq(id)
        )
        return [JobFile(*row) for row in rows]

    def lines(self, id: str, after: int, limit: int) -> list[Line]:
        rows = self._rows(
            """
            SELECT line, at, level, text
            FROM lines
            WHERE seq = ? AND line > ?
            ORDER BY line
            LIMIT ?
            """,
            self.seq(id),
            after,
            limit,
        )
        return [Line(moment(at), level, text, line) for line, at, level, text in rows]

    def counters(self) -> dict[tuple[str, State], int]:
        rows = self._rows(
            "SELECT queue, state, jobs FROM counters WHERE namespace = ?", self.namespace
        )
        return {(queue, State(state)): jobs for queue, state, jobs in rows if jobs}

    def oldest_queued(self) -> dict[str, float]:
        rows = self._rows(
            """
            SELECT queue, max(created_at, run_at) FROM jobs
            WHERE seq IN (
                SELECT min(seq) FROM jobs
                WHERE namespace = ? AND state = 'queued' AND ready = 1
                GROUP BY queue
                UNION ALL
                SELECT min(seq) FROM jobs
                WHERE namespace = ? AND state = 'queued' AND ready = 2
                GROUP BY queue
            )
            UNION ALL
            -- Nobody has made these ready yet: where no worker is, that is all there is.
            SELECT queue, min(max(created_at, run_at)) FROM jobs
            WHERE namespace = ? AND state = 'queued' AND ready = 0 AND run_at <= ?
            GROUP BY queue
            """,
            self.namespace,
            self.namespace,
            self.namespace,
            self.now,
        )
        paused = paused_queues(self.connection, self.namespace)
        oldest: dict[str, float] = {}
        for queue, since in rows:
            if queue not in paused:
                oldest[queue] = max(oldest.get(queue, 0.0), self.now - since)
        return oldest
