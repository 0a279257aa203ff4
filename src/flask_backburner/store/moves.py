"""The moves of a job's row on SQLite, from one state to another."""

from __future__ import annotations

import random

from ..record import Fault, State
from . import line
from .claim import Claim
from .transaction import Transaction

HELD = """
    id = ? AND fence = ?
    AND (state = 'running' OR state = 'queued' AND ready IS NULL)
"""
"""Whose job a claim or an external driver may speak for."""


RESCUE_JITTER = 0.5
LOST = Fault(
    "lost",
    "The process that ran this job died, too often for another try. Look for what ends it: "
    "memory, a crashing extension, os._exit.",
)


def end(tx: Transaction, seq: int, state: State) -> None:
    tx.execute(
        """
        UPDATE jobs
        SET state = ?, version = version + 1, finished_at = ?, updated_at = ?, kept_until = ?,
            overdue = 0
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
    tx: Transaction,
    seq: int,
    *,
    attempts_back: int = 0,
    failures: int = 0,
    crashes: int = 0,
    delay: float = 0.0,
) -> None:
    tx.execute(
        f"""
        UPDATE jobs
        SET state = 'queued', run_at = ?,
            ready = CASE
                WHEN ready IS NULL THEN NULL WHEN ? THEN 0 ELSE {line.mark("crashes + ?")}
            END,
            worker = NULL, started_at = NULL, attempt = attempt - ?, overdue = 0,
            failures = failures + ?, crashes = crashes + ?,
            version = version + 1, updated_at = ?
        WHERE seq = ?
        """,
        (
            tx.now + delay,
            delay > 0,
            crashes,
            attempts_back,
            failures,
            crashes,
            tx.now,
            seq,
        ),
    )


def crash(tx: Transaction, seq: int) -> State:
    """Write that the process died which ran the job; gives back the state after it."""
    ((crashes, rescues),) = tx.rows("SELECT crashes, rescues FROM jobs WHERE seq = ?", (seq,))
    if crashes < rescues:
        # Spread, so that what was lost together does not come back together.
        requeue(tx, seq, crashes=1, delay=random.uniform(0, RESCUE_JITTER))
        return State.QUEUED
    tx.execute("UPDATE jobs SET crashes = crashes + 1 WHERE seq = ?", (seq,))
    end(tx, seq, State.FAILED)
    keep_fault(tx, seq, LOST)
    return State.FAILED


def put_back(tx: Transaction, seq: int) -> None:
    """Let a failed or cancelled job run once more, with all retries and rescues."""
    tx.execute("DELETE FROM faults WHERE seq = ?", (seq,))
    tx.execute(
        f"""
        UPDATE jobs
        SET state = 'queued', run_at = ?, ready = {line.READY},
            worker = NULL, started_at = NULL, finished_at = NULL, kept_until = NULL,
            failures = 0, crashes = 0, cancel_requested = 0, start_by = NULL,
            version = version + 1, updated_at = ?
        WHERE seq = ?
        """,
        (tx.now, tx.now, seq),
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
