"""How attempts ended, written to SQLite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..record import Cancelled, Crashed, Failed, Released, Retry, State, Succeeded
from .claim import Claim, Settlement
from .moves import HELD, crash, end, hear, keep_fault, requeue
from .transaction import Transaction


def settle(tx: Transaction, settled: Sequence[Settlement]) -> list[Claim]:
    """Write how attempts ended; gives back the claims that are stale.

    Jobs that succeeded are written together: nearly all do.
    """
    together = [
        entry
        for entry in settled
        if isinstance(entry.outcome, Succeeded) and entry.claim.fence  # external ones apart
    ]
    refused = _succeed(tx, together) if together else []
    if len(together) < len(settled):
        refused += [
            entry.claim
            for entry in settled
            if not (isinstance(entry.outcome, Succeeded) and entry.claim.fence)
            and not _settle_one(tx, entry)
        ]
    return refused


_SUCCEED = """
    UPDATE jobs
    SET state = 'succeeded', version = version + 1, finished_at = ?, updated_at = ?, kept_until = ?,
        overdue = 0
    WHERE id = ? AND fence = ? AND state = 'running'
"""


def _succeed(tx: Transaction, settled: list[Settlement]) -> list[Claim]:
    tx.execute("SAVEPOINT together")
    _keep_results(tx, settled)
    kept_until = tx.kept_until(State.SUCCEEDED)
    updated = tx.executemany(
        _SUCCEED,
        [(tx.now, tx.now, kept_until, entry.claim.id, entry.claim.fence) for entry in settled],
    ).rowcount
    refused: list[Claim] = []
    if updated == len(settled):
        for queue, jobs in Counter(entry.claim.queue for entry in settled).items():
            tx.count(queue, State.RUNNING, State.SUCCEEDED, jobs)
    else:
        tx.execute("ROLLBACK TO together")
        refused = [entry.claim for entry in settled if not _settle_one(tx, entry)]
    tx.execute("RELEASE together")
    return refused


def _keep_results(tx: Transaction, settled: Iterable[Settlement]) -> None:
    """A missing result reads as null, which most jobs return."""
    rows = [
        (entry.outcome.kind, entry.outcome.result, entry.claim.id, entry.claim.fence)
        for entry in settled
        if isinstance(entry.outcome, Succeeded) and entry.outcome.result != b"null"
    ]
    if rows:
        tx.executemany(
            f"""
            INSERT OR IGNORE INTO results (seq, kind, data)  -- a repeat is refused afterwards
            SELECT seq, ?, ? FROM jobs WHERE {HELD}
            """,
            rows,
        )


def _settle_one(tx: Transaction, entry: Settlement) -> bool:
    claim = entry.claim
    rows = tx.rows(
        f"SELECT seq, ready, cancel_requested FROM jobs WHERE {HELD}", (claim.id, claim.fence)
    )
    if not rows:
        return False
    ((seq, ready, cancel_requested),) = rows
    if ready is None:
        hear(tx, seq, claim)
    match entry.outcome:
        case Succeeded():
            after = State.SUCCEEDED
            _keep_results(tx, [entry])
            end(tx, seq, after)
        case Failed(fault):
            after = State.FAILED
            end(tx, seq, after)
            keep_fault(tx, seq, fault)
        case Released(started) if not cancel_requested:
            after = State.QUEUED
            requeue(tx, seq, attempts_back=0 if started else 1)
        case Retry(fault, delay) if not cancel_requested:
            after = State.QUEUED
            requeue(tx, seq, failures=1, delay=delay)
            keep_fault(tx, seq, fault)
        case Crashed() if not cancel_requested:
            after = crash(tx, seq)
        case Released() | Retry() | Crashed() | Cancelled():
            after = State.CANCELLED
            end(tx, seq, after)
    tx.count(claim.queue, State.RUNNING, after)
    return True
