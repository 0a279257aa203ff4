"""The parts of a worker's turn on SQLite: report, settle, claim; and the rescue of a dead one's.

Each function is one step inside a transaction that its caller holds.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from msgspec import Struct, json

from ..record import RESCUES, Cancelled, Failed, Fault, Progress, Released, State, Succeeded
from . import line
from .base import LINES_KEPT, Claim, Report, Settlement
from .transaction import Transaction

RESCUE_JITTER = 0.5
LOST = Fault(
    "lost",
    f"The worker died while it ran this job, for the {RESCUES + 1}th time. "
    "Look for what ends the process: memory, a crashing extension, os._exit.",
)
SILENT = Fault("lost", "Nothing was heard of this job within its deadline.")

HELD = """
    id = ? AND fence = ?
    AND (state = 'running' OR state = 'queued' AND ready IS NULL)
"""
"""Whose job a claim or an external driver may speak for."""


NO_ARGUMENTS = b"{}"
"""Is not stored: what is missing reads as this, x'7b7d'."""

READY_AT_ONCE = 1000
"""A crowd that becomes due at one time joins the line in parts, so that nobody waits for all."""


class Wish(Struct, frozen=True):
    """What a worker could run: how many jobs, of which queues (none: all) and tasks."""

    namespace: int
    room: int
    queues: Collection[str] | None
    tasks: Collection[str]

    def takes(self, queue: str, task: str) -> bool:
        return (self.queues is None or queue in self.queues) and any(
            task.startswith(each[:-1]) if each.endswith("*") else task == each
            for each in self.tasks
        )


def any_work(connection: sqlite3.Connection, wish: Wish, now: float) -> bool:
    """Whether a claim would find anything; a read only, so that idle workers never write."""
    if wish.room <= 0:
        return False
    return _due(connection, wish.namespace, now) or bool(_wanted(connection, wish))


def claim(tx: Transaction, wish: Wish, worker: str) -> tuple[Claim, ...]:
    """Take at most ``wish.room`` jobs for the worker, first in line first."""
    if wish.room <= 0:
        return ()
    _make_ready(tx)
    kinds = _wanted(tx.connection, wish)
    if not kinds:
        return ()
    seqs = [seq for _, seq in line.first(tx.connection, tx.namespace, kinds, wish.room)]
    rows = tx.rows(
        """
        UPDATE jobs
        SET state = 'running', version = version + 1, fence = fence + 1, attempt = attempt + 1,
            worker = ?, started_at = ?, updated_at = ?,
            current = NULL, total = NULL, message = NULL, phase = NULL, progressed_at = NULL
        WHERE seq IN (SELECT value FROM json_each(?))
        RETURNING -priority, seq, id, fence, task, queue, attempt,
            coalesce((SELECT data FROM arguments WHERE arguments.seq = jobs.seq), x'7b7d')
        """,
        (worker, tx.now, tx.now, json.encode(seqs).decode()),
    )
    rows.sort()
    for queue, jobs in Counter(row[5] for row in rows).items():
        tx.count(queue, State.QUEUED, State.RUNNING, jobs)
    return tuple(Claim(*row[2:]) for row in rows)


def _wanted(connection: sqlite3.Connection, wish: Wish) -> list[line.Kind]:
    return [kind for kind in line.kinds(connection, wish.namespace) if wish.takes(*kind)]


def _due(connection: sqlite3.Connection, namespace: int, now: float) -> bool:
    return bool(
        connection.execute(
            """
            SELECT 1 FROM jobs
            WHERE namespace = ? AND state = 'queued' AND ready = 0 AND run_at <= ?
            LIMIT 1
            """,
            (namespace, now),
        ).fetchall()
    )


def _make_ready(tx: Transaction) -> None:
    tx.execute(
        """
        UPDATE jobs SET ready = 1
        WHERE seq IN (
            SELECT seq FROM jobs
            WHERE namespace = ? AND state = 'queued' AND ready = 0 AND run_at <= ?
            ORDER BY run_at
            LIMIT ?
        )
        """,
        (tx.namespace, tx.now, READY_AT_ONCE),
    )


def cancelling(connection: sqlite3.Connection, worker: str) -> tuple[str, ...]:
    """The worker's running jobs for which a cancel was asked."""
    rows = connection.execute(
        "SELECT id FROM jobs WHERE worker = ? AND state = 'running' AND cancel_requested = 1",
        (worker,),
    ).fetchall()
    return tuple(id for (id,) in rows)


def record(tx: Transaction, reports: Sequence[Report]) -> list[Claim]:
    """Write progress, log lines and files; gives back the claims that are stale."""
    return [report.claim for report in reports if not _record(tx, report)]


def _record(tx: Transaction, report: Report) -> bool:
    claim = report.claim
    rows = tx.rows(f"SELECT seq, last_line, ready FROM jobs WHERE {HELD}", (claim.id, claim.fence))
    if not rows:
        return False
    ((seq, last_line, ready),) = rows
    if ready is None:
        _hear(tx, seq, claim)
    if report.progress is not None:
        progress = report.progress
        if ready is None:
            progress = progress.upon(_progress(tx, seq))
        tx.execute(
            """
            UPDATE jobs
            SET current = ?, total = ?, message = ?, phase = ?, progressed_at = ?,
                version = version + 1, updated_at = ?
            WHERE seq = ?
            """,
            (
                progress.current,
                progress.total,
                progress.message,
                progress.phase,
                tx.now,
                tx.now,
                seq,
            ),
        )
    if report.lines:
        _write_lines(tx, seq, last_line, report)
    if report.files:
        _write_files(tx, seq, report)
    return True


def _progress(tx: Transaction, seq: int) -> Progress:
    (row,) = tx.rows("SELECT current, total, message, phase FROM jobs WHERE seq = ?", (seq,))
    return Progress(*row)


def _hear(tx: Transaction, seq: int, claim: Claim) -> None:
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


def _write_lines(tx: Transaction, seq: int, last_line: int, report: Report) -> None:
    tx.executemany(
        "INSERT INTO lines (seq, line, at, level, text) VALUES (?, ?, ?, ?, ?)",
        [
            (seq, number, each.at.timestamp(), each.level, each.text)
            for number, each in enumerate(report.lines, last_line + 1)
        ],
    )
    last_line += len(report.lines)
    tx.execute("UPDATE jobs SET last_line = ? WHERE seq = ?", (last_line, seq))
    tx.execute("DELETE FROM lines WHERE seq = ? AND line <= ?", (seq, last_line - LINES_KEPT))


def _write_files(tx: Transaction, seq: int, report: Report) -> None:
    tx.executemany(
        "INSERT OR REPLACE INTO files (seq, name, type, size) VALUES (?, ?, ?, ?)",
        [(seq, file.name, file.type, file.size) for file in report.files],
    )
    tx.execute(
        """
        UPDATE jobs
        SET files = (SELECT count(*) FROM files WHERE files.seq = jobs.seq),
            version = version + 1, updated_at = ?
        WHERE seq = ?
        """,
        (tx.now, seq),
    )


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
    SET state = 'succeeded', version = version + 1, finished_at = ?, updated_at = ?, kept_until = ?
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
        _hear(tx, seq, claim)
    match entry.outcome:
        case Succeeded():
            after = State.SUCCEEDED
            _keep_results(tx, [entry])
            _end(tx, seq, after)
        case Failed(fault):
            after = State.FAILED
            _end(tx, seq, after)
            _keep_fault(tx, seq, fault)
        case Released(started) if not cancel_requested:
            after = State.QUEUED
            _requeue(tx, seq, attempts_back=0 if started else 1)
        case Released() | Cancelled():
            after = State.CANCELLED
            _end(tx, seq, after)
    tx.count(claim.queue, State.RUNNING, after)
    return True


def _end(tx: Transaction, seq: int, state: State) -> None:
    tx.execute(
        """
        UPDATE jobs
        SET state = ?, version = version + 1, finished_at = ?, updated_at = ?, kept_until = ?
        WHERE seq = ?
        """,
        (state, tx.now, tx.now, tx.kept_until(state), seq),
    )


def _keep_fault(tx: Transaction, seq: int, fault: Fault) -> None:
    tx.execute(
        """
        INSERT OR REPLACE INTO faults (seq, code, message, public, traceback)
        VALUES (?, ?, ?, ?, ?)
        """,
        (seq, fault.code, fault.message, fault.public, fault.traceback),
    )


def _requeue(
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
            _end(tx, seq, State.CANCELLED)
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
            _end(tx, seq, after)
        elif started is not None and (id, fence) not in started:
            after = State.QUEUED
            _requeue(tx, seq, attempts_back=1)
        elif crashes >= RESCUES:
            after = State.FAILED
            tx.execute("UPDATE jobs SET crashes = crashes + 1 WHERE seq = ?", (seq,))
            _end(tx, seq, after)
            _keep_fault(tx, seq, LOST)
        else:
            after = State.QUEUED
            # Spread, so that what was lost together does not come back together.
            _requeue(tx, seq, crashes=1, delay=random.uniform(0, RESCUE_JITTER))
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
        _end(tx, seq, State.FAILED)
        _keep_fault(tx, seq, SILENT)
        tx.count(queue, state, State.FAILED)
    return [id for _, id, *_ in rows]
