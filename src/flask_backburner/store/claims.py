"""The parts of a worker's turn on SQLite: report, settle, claim; and the rescue of a dead one's.

Each function is one step inside a transaction that its caller holds.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any

from msgspec import Struct, json

from ..record import RESCUES, Cancelled, Failed, Fault, Released, State, Succeeded
from .base import LINES_KEPT, Claim, Report, Settlement

RESCUE_JITTER = 0.5
LOST = Fault(
    "lost",
    f"The worker died while it ran this job, for the {RESCUES + 1}th time. "
    "Look for what ends the process: memory, a crashing extension, os._exit.",
)


class Changes:
    """How many jobs each counter gains and loses in a transaction."""

    def __init__(self) -> None:
        self._by_counter: Counter[tuple[str, State]] = Counter()

    def count(self, queue: str, before: State | None, after: State, jobs: int = 1) -> None:
        if before is not None:
            self._by_counter[queue, before] -= jobs
        self._by_counter[queue, after] += jobs

    def write(self, connection: sqlite3.Connection, namespace: int) -> None:
        for (queue, state), jobs in self._by_counter.items():
            if jobs:
                connection.execute(
                    """
                    INSERT INTO counters (namespace, queue, state, jobs) VALUES (?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs
                    """,
                    (namespace, queue, state, jobs),
                )


class Wish(Struct, frozen=True):
    """What a worker could run: how many jobs, of which queues (none: all) and tasks."""

    namespace: int
    room: int
    queues: Collection[str] | None
    tasks: Collection[str]


def any_work(connection: sqlite3.Connection, wish: Wish, now: float) -> bool:
    """Whether a claim would find anything; a read only, so that idle workers never write."""
    if wish.room <= 0:
        return False
    if _due(connection, wish, now):
        return True
    queues = _queues_with_work(connection, wish)
    return bool(queues and _candidates(connection, wish, queues, 1))


def claim(
    connection: sqlite3.Connection, wish: Wish, worker: str, now: float, changes: Changes
) -> tuple[Claim, ...]:
    """Take at most ``wish.room`` jobs for the worker, first in line first."""
    if wish.room <= 0:
        return ()
    if _due(connection, wish, now):
        _make_ready(connection, wish, now)
    queues = _queues_with_work(connection, wish)
    if not queues:
        return ()
    seqs = _candidates(connection, wish, queues, wish.room)
    rows = connection.execute(
        """
        UPDATE jobs
        SET state = 'running', version = version + 1, fence = fence + 1, attempt = attempt + 1,
            worker = ?, started_at = ?, updated_at = ?,
            current = NULL, total = NULL, message = NULL, phase = NULL, progressed_at = NULL
        WHERE seq IN (SELECT value FROM json_each(?))
        RETURNING priority, seq, id, fence, task, queue, attempt,
            (SELECT data FROM arguments WHERE arguments.seq = jobs.seq)
        """,
        (worker, now, now, json.encode(seqs).decode()),
    ).fetchall()
    rows.sort(key=_line_order)
    for queue, jobs in Counter(row[5] for row in rows).items():
        changes.count(queue, State.QUEUED, State.RUNNING, jobs)
    return tuple(Claim(*row[2:]) for row in rows)


def _line_order(row: tuple[Any, ...]) -> tuple[int, int]:
    priority, seq = row[:2]
    return -priority, seq


def _due(connection: sqlite3.Connection, wish: Wish, now: float) -> bool:
    return bool(
        connection.execute(
            """
            SELECT 1 FROM jobs
            WHERE namespace = ? AND state = 'queued' AND ready = 0 AND run_at <= ?
            LIMIT 1
            """,
            (wish.namespace, now),
        ).fetchall()
    )


def _make_ready(connection: sqlite3.Connection, wish: Wish, now: float) -> None:
    connection.execute(
        """
        UPDATE jobs SET ready = 1
        WHERE namespace = ? AND state = 'queued' AND ready = 0 AND run_at <= ?
        """,
        (wish.namespace, now),
    )


def _queues_with_work(connection: sqlite3.Connection, wish: Wish) -> list[str]:
    rows = connection.execute(
        "SELECT queue FROM counters WHERE namespace = ? AND state = 'queued' AND jobs > 0",
        (wish.namespace,),
    ).fetchall()
    return [queue for (queue,) in rows if wish.queues is None or queue in wish.queues]


def _candidates(
    connection: sqlite3.Connection, wish: Wish, queues: list[str], room: int
) -> list[int]:
    """The first in line over several queues, each of which is read in its own order."""
    tasks = json.encode(sorted(wish.tasks)).decode()
    parameters: list[Any] = []
    for queue in queues:
        parameters += (wish.namespace, queue, tasks, room)
    rows = connection.execute(_candidates_sql(len(queues)), (*parameters, room)).fetchall()
    return [seq for _, seq in rows]


@cache
def _candidates_sql(queues: int) -> str:
    one = """
        SELECT * FROM (
            SELECT priority, seq FROM jobs
            WHERE namespace = ? AND queue = ? AND state = 'queued' AND ready = 1
              AND task IN (SELECT value FROM json_each(?))
            ORDER BY priority DESC, seq
            LIMIT ?
        )
    """
    return " UNION ALL ".join([one] * queues) + " ORDER BY priority DESC, seq LIMIT ?"


def cancelling(connection: sqlite3.Connection, worker: str) -> tuple[str, ...]:
    """The worker's running jobs for which a cancel was asked."""
    rows = connection.execute(
        "SELECT id FROM jobs WHERE worker = ? AND state = 'running' AND cancel_requested = 1",
        (worker,),
    ).fetchall()
    return tuple(id for (id,) in rows)


def record(
    connection: sqlite3.Connection, reports: Sequence[Report], now: float
) -> list[Claim]:
    """Write progress and log lines; gives back the claims that are stale."""
    return [report.claim for report in reports if not _record(connection, report, now)]


def _record(connection: sqlite3.Connection, report: Report, now: float) -> bool:
    rows = connection.execute(
        "SELECT seq, last_line FROM jobs WHERE id = ? AND fence = ? AND state = 'running'",
        (report.claim.id, report.claim.fence),
    ).fetchall()
    if not rows:
        return False
    ((seq, last_line),) = rows
    if report.progress is not None:
        progress = report.progress
        connection.execute(
            """
            UPDATE jobs
            SET current = ?, total = ?, message = ?, phase = ?, progressed_at = ?,
                version = version + 1, updated_at = ?
            WHERE seq = ?
            """,
            (progress.current, progress.total, progress.message, progress.phase, now, now, seq),
        )
    if report.lines:
        connection.executemany(
            "INSERT INTO lines (seq, line, at, level, text) VALUES (?, ?, ?, ?, ?)",
            [
                (seq, number, line.at.timestamp(), line.level, line.text)
                for number, line in enumerate(report.lines, last_line + 1)
            ],
        )
        last_line += len(report.lines)
        connection.execute("UPDATE jobs SET last_line = ? WHERE seq = ?", (last_line, seq))
        connection.execute(
            "DELETE FROM lines WHERE seq = ? AND line <= ?", (seq, last_line - LINES_KEPT)
        )
    return True


def settle(
    connection: sqlite3.Connection, settled: Sequence[Settlement], now: float, changes: Changes
) -> list[Claim]:
    """Write how attempts ended; gives back the claims that are stale.

    Jobs that succeeded are written together: nearly all do.
    """
    succeeded = [entry for entry in settled if isinstance(entry.outcome, Succeeded)]
    refused = _succeed(connection, succeeded, now, changes)
    refused += [
        entry.claim
        for entry in settled
        if not isinstance(entry.outcome, Succeeded)
        and not _settle_one(connection, entry, now, changes)
    ]
    return refused


_SUCCEED = """
    UPDATE jobs
    SET state = 'succeeded', version = version + 1, finished_at = ?, updated_at = ?
    WHERE id = ? AND fence = ? AND state = 'running'
"""
_KEEP_RESULT = """
    INSERT INTO results (seq, data)
    SELECT seq, ? FROM jobs WHERE id = ? AND fence = ? AND state = 'running'
"""


def _succeed(
    connection: sqlite3.Connection, settled: list[Settlement], now: float, changes: Changes
) -> list[Claim]:
    if not settled:
        return []
    connection.execute("SAVEPOINT together")
    _keep_results(connection, settled)
    updated = connection.executemany(
        _SUCCEED, [(now, now, entry.claim.id, entry.claim.fence) for entry in settled]
    ).rowcount
    accepted = settled
    if updated != len(settled):
        connection.execute("ROLLBACK TO together")
        accepted = [entry for entry in settled if _succeed_one(connection, entry, now)]
    connection.execute("RELEASE together")
    for queue, jobs in Counter(entry.claim.queue for entry in accepted).items():
        changes.count(queue, State.RUNNING, State.SUCCEEDED, jobs)
    if accepted is settled:
        return []
    return [entry.claim for entry in settled if entry not in accepted]


def _keep_results(connection: sqlite3.Connection, settled: Iterable[Settlement]) -> None:
    """A missing result reads as null, which most jobs return."""
    rows = [
        (entry.outcome.result, entry.claim.id, entry.claim.fence)
        for entry in settled
        if isinstance(entry.outcome, Succeeded) and entry.outcome.result != b"null"
    ]
    if rows:
        connection.executemany(_KEEP_RESULT, rows)


def _succeed_one(connection: sqlite3.Connection, entry: Settlement, now: float) -> bool:
    _keep_results(connection, [entry])
    parameters = (now, now, entry.claim.id, entry.claim.fence)
    return bool(connection.execute(_SUCCEED, parameters).rowcount)


def _settle_one(
    connection: sqlite3.Connection, entry: Settlement, now: float, changes: Changes
) -> bool:
    claim = entry.claim
    rows = connection.execute(
        "SELECT seq, cancel_requested FROM jobs WHERE id = ? AND fence = ? AND state = 'running'",
        (claim.id, claim.fence),
    ).fetchall()
    if not rows:
        return False
    ((seq, cancel_requested),) = rows
    match entry.outcome:
        case Failed(fault):
            _end(connection, seq, State.FAILED, now)
            _keep_fault(connection, seq, fault)
            changes.count(claim.queue, State.RUNNING, State.FAILED)
        case Released(started) if not cancel_requested:
            _requeue(connection, seq, now, attempts_back=0 if started else 1)
            changes.count(claim.queue, State.RUNNING, State.QUEUED)
        case Released() | Cancelled():
            _end(connection, seq, State.CANCELLED, now)
            changes.count(claim.queue, State.RUNNING, State.CANCELLED)
        case Succeeded():
            raise AssertionError("written together with the others")
    return True


def _end(connection: sqlite3.Connection, seq: int, state: State, now: float) -> None:
    connection.execute(
        """
        UPDATE jobs
        SET state = ?, version = version + 1, finished_at = ?, updated_at = ?
        WHERE seq = ?
        """,
        (state, now, now, seq),
    )


def _keep_fault(connection: sqlite3.Connection, seq: int, fault: Fault) -> None:
    connection.execute(
        """
        INSERT OR REPLACE INTO faults (seq, code, message, public, traceback)
        VALUES (?, ?, ?, ?, ?)
        """,
        (seq, fault.code, fault.message, fault.public, fault.traceback),
    )


def _requeue(
    connection: sqlite3.Connection,
    seq: int,
    now: float,
    *,
    attempts_back: int = 0,
    crashes: int = 0,
    delay: float = 0.0,
) -> None:
    connection.execute(
        """
        UPDATE jobs
        SET state = 'queued', ready = ?, run_at = ?, worker = NULL, started_at = NULL,
            attempt = attempt - ?, crashes = crashes + ?,
            version = version + 1, updated_at = ?
        WHERE seq = ?
        """,
        (delay == 0, now + delay, attempts_back, crashes, now, seq),
    )


def rescue(
    connection: sqlite3.Connection,
    namespace: int,
    worker: str,
    started: frozenset[tuple[str, int]] | None,
    now: float,
    changes: Changes,
) -> int:
    """Take a dead worker's jobs from it; ``started`` is none when nobody can tell which had."""
    rows = connection.execute(
        """
        SELECT seq, id, fence, queue, crashes, cancel_requested
        FROM jobs
        WHERE namespace = ? AND worker = ? AND state = 'running'
        """,
        (namespace, worker),
    ).fetchall()
    for seq, id, fence, queue, crashes, cancel_requested in rows:
        if cancel_requested:
            after = State.CANCELLED
            _end(connection, seq, after, now)
        elif started is not None and (id, fence) not in started:
            after = State.QUEUED
            _requeue(connection, seq, now, attempts_back=1)
        elif crashes >= RESCUES:
            after = State.FAILED
            connection.execute("UPDATE jobs SET crashes = crashes + 1 WHERE seq = ?", (seq,))
            _end(connection, seq, after, now)
            _keep_fault(connection, seq, LOST)
        else:
            after = State.QUEUED
            # Spread, so that what was lost together does not come back together.
            _requeue(connection, seq, now, crashes=1, delay=random.uniform(0, RESCUE_JITTER))
        changes.count(queue, State.RUNNING, after)
    return len(rows)
