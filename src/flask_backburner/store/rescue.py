"""Taking up, on SQLite, what dead workers and silent drivers left."""

from __future__ import annotations

import sqlite3
from typing import Any

from ..record import Fault, State
from .moves import crash, end, keep_fault, requeue
from .transaction import Transaction

SILENT = Fault("lost", "Nothing was heard of this job within its deadline.")
EXPIRED = Fault("expired", "The job was not begun before its time was up.")


def rescue(
    tx: Transaction,
    worker: str,
    started: frozenset[tuple[str, int]] | None,
    *,
    hung: bool = False,
) -> list[str]:
    """Take a worker's jobs from it; ``started`` is none when nobody can tell which had.

    That it died is a crash of those that had; that it is ``hung`` is none.
    """
    rows = tx.rows(
        """
        SELECT seq, id, fence, queue, cancel_requested
        FROM jobs
        WHERE namespace = ? AND worker = ? AND state = 'running'
        """,
        (tx.namespace, worker),
    )
    for seq, id, fence, queue, cancel_requested in rows:
        if cancel_requested:
            after = State.CANCELLED
            end(tx, seq, after)
        elif started is not None and (id, fence) not in started:
            after = State.QUEUED
            requeue(tx, seq, attempts_back=1)
        elif hung:
            after = State.QUEUED
            requeue(tx, seq)
        else:
            after = crash(tx, seq)
        tx.count(queue, State.RUNNING, after)
    return [id for _, id, *_ in rows]


def silent(connection: sqlite3.Connection, namespace: int, now: float) -> list[tuple[Any, ...]]:
    """The external jobs of which nothing was heard within their deadline."""
    return connection.execute(
        """
        SELECT seq, id, queue, state FROM jobs
        WHERE namespace = ? AND deadline IS NOT NULL AND kept_until IS NULL
          AND heard_at + deadline <= ?
        """,
        (namespace, now),
    ).fetchall()


def give_up_silent(tx: Transaction) -> list[str]:
    """Fail the external jobs that are silent for too long."""
    rows = silent(tx.connection, tx.namespace, tx.now)
    for seq, _, queue, state in rows:
        end(tx, seq, State.FAILED)
        keep_fault(tx, seq, SILENT)
        tx.count(queue, state, State.FAILED)
    return [id for _, id, *_ in rows]


def expired(connection: sqlite3.Connection, namespace: int, now: float) -> list[tuple[Any, ...]]:
    """The jobs that were not begun in time."""
    return connection.execute(
        """
        SELECT seq, id, queue FROM jobs
        WHERE namespace = ? AND state = 'queued' AND attempt = 0 AND start_by IS NOT NULL
          AND start_by <= ?
        LIMIT 1000
        """,
        (namespace, now),
    ).fetchall()


def expire(tx: Transaction) -> list[str]:
    """Fail the jobs that were not begun in time, so many at once as nobody need wait for."""
    rows = expired(tx.connection, tx.namespace, tx.now)
    for seq, _, queue in rows:
        end(tx, seq, State.FAILED)
        keep_fault(tx, seq, EXPIRED)
        tx.count(queue, State.QUEUED, State.FAILED)
    return [id for _, id, *_ in rows]
