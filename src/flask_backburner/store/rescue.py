"""Taking up, on SQLite, what dead workers and silent drivers left."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

from ..record import RESCUES, Fault, State
from .moves import end, keep_fault, requeue
from .transaction import Transaction

RESCUE_JITTER = 0.5
LOST = Fault(
    "lost",
    f"The worker died while it ran this job, for the {RESCUES + 1}th time. "
    "Look for what ends the process: memory, a crashing extension, os._exit.",
)
SILENT = Fault("lost", "Nothing was heard of this job within its deadline.")


def rescue(tx: Transaction, worker: str, started: frozenset[tuple[str, int]] | None) -> list[str]:
    """Take a dead worker's jobs from it; ``started`` is none when nobody can tell which had."""
    rows = tx.rows(
        """
        SELECT seq, id, fence, queue, crashes, cancel_requested
        FROM jobs
        WHERE namespace = ? AND worker = ? AND state = 'running'
        """,
        (tx.namespace, worker),
    )
    for seq, id, fence, queue, crashes, cancel_requested in rows:
        if cancel_requested:
            after = State.CANCELLED
            end(tx, seq, after)
        elif started is not None and (id, fence) not in started:
            after = State.QUEUED
            requeue(tx, seq, attempts_back=1)
        elif crashes >= RESCUES:
            after = State.FAILED
            tx.execute("UPDATE jobs SET crashes = crashes + 1 WHERE seq = ?", (seq,))
            end(tx, seq, after)
            keep_fault(tx, seq, LOST)
        else:
            after = State.QUEUED
            # Spread, so that what was lost together does not come back together.
            requeue(tx, seq, crashes=1, delay=random.uniform(0, RESCUE_JITTER))
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
