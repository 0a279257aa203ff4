"""The moves of a job's row on SQLite, from one state to another."""

from __future__ import annotations

from ..record import Fault, State
from .base import Claim
from .transaction import Transaction

HELD = """
    id = ? AND fence = ?
    AND (state = 'running' OR state = 'queued' AND ready IS NULL)
"""
"""Whose job a claim or an external driver may speak for."""


def end(tx: Transaction, seq: int, state: State) -> None:
    tx.execute(
        """
        UPDATE jobs
        SET state = ?, version = version + 1, finished_at = ?, updated_at = ?, kept_until = ?
        WHERE seq = ?
        """,
        (state, tx.now, tx.now, tx.kept_until(state), seq),
    )


def keep_fault(tx: Transaction, seq: int, fault: Fault) -> None:
    tx.execute(
        """
        INSERT OR REPLACE INTO faults (seq, code, message, public, traceback)
        VALUES (?, ?, ?, ?, ?)
        """,
        (seq, fault.code, fault.message, fault.public, fault.traceback),
    )


def requeue(
    tx: Transaction, seq: int, *, attempts_back: int = 0, crashes: int = 0, delay: float = 0.0
) -> None:
    tx.execute(
        """
        UPDATE jobs
        SET state = 'queued', ready = CASE WHEN ready IS NULL THEN NULL ELSE ? END, run_at = ?,
            worker = NULL, started_at = NULL, attempt = attempt - ?, crashes = crashes + ?,
            version = version + 1, updated_at = ?
        WHERE seq = ?
        """,
        (delay == 0, tx.now + delay, attempts_back, crashes, tx.now, seq),
    )


def cancel(tx: Transaction, id: str) -> None:
    """Cancel a queued job, mark a running one, leave any other as it is."""
    rows = tx.rows(
        "SELECT seq, state, queue FROM jobs WHERE id = ? AND namespace = ?", (id, tx.namespace)
    )
    for seq, state, queue in rows:
        if state == State.QUEUED:
            tx.execute("UPDATE jobs SET cancel_requested = 1 WHERE seq = ?", (seq,))
            end(tx, seq, State.CANCELLED)
            tx.count(queue, State.QUEUED, State.CANCELLED)
        elif state == State.RUNNING:
            tx.execute(
                """
                UPDATE jobs
                SET cancel_requested = 1, version = version + 1, updated_at = ?
                WHERE seq = ? AND cancel_requested = 0
                """,
                (tx.now, seq),
            )


def hear(tx: Transaction, seq: int, claim: Claim) -> None:
    """Note a sign of life of an external job; its first makes it run."""
    tx.execute("UPDATE jobs SET heard_at = ? WHERE seq = ?", (tx.now, seq))
    began = tx.execute(
        """
        UPDATE jobs
        SET state = 'running', attempt = 1, started_at = ?, version = version + 1, updated_at = ?
        WHERE seq = ? AND state = 'queued'
        """,
        (tx.now, tx.now, seq),
    ).rowcount
    if began:
        tx.count(claim.queue, State.QUEUED, State.RUNNING)
