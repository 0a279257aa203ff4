"""Forgetting finished jobs on SQLite, a few at a time, with a tombstone for each."""

from __future__ import annotations

import sqlite3
from itertools import accumulate
from typing import Any

from msgspec import json

from .base import TOMBSTONES_KEPT
from .transaction import Transaction

ROW_BYTES = 400
"""About what a job takes besides its data."""

_BESIDE = ("arguments", "results", "faults", "lines", "files", "saved")


def overdue(
    connection: sqlite3.Connection, namespace: int, limit: int, now: float
) -> list[tuple[Any, ...]]:
    """The jobs that are past their time."""
    return connection.execute(
        """
        SELECT seq, id, queue, state, owner FROM jobs
        WHERE namespace = ? AND kept_until IS NOT NULL AND kept_until <= ?
        ORDER BY kept_until
        LIMIT ?
        """,
        (namespace, now, limit),
    ).fetchall()


def finished_before(
    connection: sqlite3.Connection, namespace: int, limit: int, before: float
) -> list[tuple[Any, ...]]:
    """The jobs that finished earlier than ``before``."""
    return connection.execute(
        """
        SELECT seq, id, queue, state, owner FROM jobs
        WHERE namespace = ? AND kept_until IS NOT NULL AND finished_at < ?
        LIMIT ?
        """,
        (namespace, before, limit),
    ).fetchall()


def oldest_finished(
    connection: sqlite3.Connection, namespace: int, limit: int, surplus: int
) -> list[tuple[Any, ...]]:
    """The finished jobs that would go first anyhow, as many as take ``surplus`` bytes."""
    rows = connection.execute(
        """
        SELECT seq, id, queue, state, owner,
               (SELECT coalesce(sum(size), 0) FROM files WHERE files.seq = jobs.seq)
             + (SELECT coalesce(sum(length(data)), 0) FROM results WHERE results.seq = jobs.seq)
             + (SELECT coalesce(sum(length(data)), 0) FROM arguments WHERE arguments.seq = jobs.seq)
             + (SELECT coalesce(sum(length(text)), 0) FROM lines WHERE lines.seq = jobs.seq)
             + (SELECT coalesce(sum(length(data)), 0) FROM saved WHERE saved.seq = jobs.seq)
        FROM jobs
        WHERE namespace = ? AND kept_until IS NOT NULL
        ORDER BY kept_until
        LIMIT ?
        """,
        (namespace, limit),
    ).fetchall()
    freed = accumulate((ROW_BYTES + size for *_, size in rows), initial=0)
    return [row[:5] for row, before in zip(rows, freed, strict=False) if before < surplus]


def bytes_taken(connection: sqlite3.Connection) -> int:
    """How much room the database's content and the result files take."""
    ((pages, free, size, files),) = connection.execute(
        """
        SELECT page_count, freelist_count, page_size,
               (SELECT coalesce(sum(size), 0) FROM files)
        FROM pragma_page_count, pragma_freelist_count, pragma_page_size
        """
    ).fetchall()
    return int((pages - free) * size + files)


def still_there(tx: Transaction, ids: list[str]) -> list[tuple[Any, ...]]:
    """Those of the jobs that are finished and not forgotten at this moment."""
    return tx.rows(
        """
        SELECT seq, id, queue, state, owner FROM jobs
        WHERE id IN (SELECT value FROM json_each(?)) AND namespace = ? AND kept_until IS NOT NULL
        """,
        (json.encode(ids).decode(), tx.namespace),
    )


def forget(tx: Transaction, rows: list[tuple[Any, ...]]) -> list[str]:
    """Delete these jobs with all that is beside them; their ids stay as tombstones."""
    seqs = json.encode([seq for seq, *_ in rows]).decode()
    for table in (*_BESIDE, "jobs"):
        tx.execute(f"DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?))", (seqs,))
    tx.executemany(
        """
        INSERT OR REPLACE INTO tombstones (id, namespace, owner, forgotten_at)
        VALUES (?, ?, ?, ?)
        """,
        [(id, tx.namespace, owner, tx.now) for _, id, _, _, owner in rows],
    )
    for _, _, queue, state, _ in rows:
        tx.count(queue, state, None)
    tx.execute(
        "DELETE FROM tombstones WHERE namespace = ? AND forgotten_at < ?",
        (tx.namespace, tx.now - TOMBSTONES_KEPT),
    )
    return [id for _, id, *_ in rows]
