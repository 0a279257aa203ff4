"""Claiming on SQLite: who may run which job, and the jobs that a worker takes.

Each function is one step inside a transaction that its caller holds.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection

from msgspec import Struct, json
from msgspec.structs import replace

from ..record import State
from . import line
from .claim import Claim
from .transaction import Transaction

NO_ARGUMENTS = b"{}"
"""Is not stored: what is missing reads as this, x'7b7d'."""

READY_AT_ONCE = 1000
"""A crowd that becomes due at one time joins the line in parts, so that nobody waits for all."""


class Wish(Struct, frozen=True):
    """What a worker could run: how many jobs, of which queues (none: all) and tasks.

    ``alone`` are the suspicious jobs, and only those.
    """

    room: int
    queues: Collection[str] | None
    tasks: Collection[str]
    alone: bool = False

    @property
    def ready(self) -> int:
        """How the jobs that it means are marked once they may run."""
        return line.ALONE if self.alone else line.READY

    def takes(self, queue: str, task: str) -> bool:
        return (self.queues is None or queue in self.queues) and any(
            task.startswith(each[:-1]) if each.endswith("*") else task == each
            for each in self.tasks
        )


def any_work(connection: sqlite3.Connection, namespace: int, wish: Wish, now: float) -> bool:
    """Whether a claim would find anything; a read only, so that idle workers never write."""
    if wish.room <= 0:
        return False
    return _due(connection, namespace, now) or bool(_wanted(connection, namespace, wish))


def claim(tx: Transaction, wish: Wish, worker: str) -> tuple[Claim, ...]:
    """Take at most ``wish.room`` jobs for the worker, first in line first."""
    if wish.room <= 0:
        return ()
    _make_ready(tx)
    kinds = _wanted(tx.connection, tx.namespace, wish)
    if not kinds:
        return ()
    places = line.first(tx.connection, tx.namespace, kinds, wish.room, wish.ready, tx.now)
    seqs = json.encode([seq for _, seq in places]).decode()
    rows = tx.rows(
        """
        UPDATE jobs
        SET state = 'running', version = version + 1, fence = fence + 1, attempt = attempt + 1,
            worker = ?, started_at = ?, updated_at = ?, overdue = 0,
            current = NULL, total = NULL, message = NULL, phase = NULL, progressed_at = NULL
        WHERE seq IN (SELECT value FROM json_each(?))
        RETURNING -priority, seq, id, fence, task, queue, attempt,
            coalesce((SELECT data FROM arguments WHERE arguments.seq = jobs.seq), x'7b7d'),
            failures, retries, crashes
        """,
        (worker, tx.now, tx.now, seqs),
    )
    rows.sort()
    for queue, jobs in Counter(row[5] for row in rows).items():
        tx.count(queue, State.QUEUED, State.RUNNING, jobs)
    return tuple(_with_saved(tx, seq, Claim(*values)) for _, seq, *values in rows)


def _with_saved(tx: Transaction, seq: int, claim: Claim) -> Claim:
    """The claim with what earlier attempts kept; before the first claim there were none."""
    if claim.fence == 1:
        return claim
    saved = tx.rows("SELECT key, data FROM saved WHERE seq = ? ORDER BY key", (seq,))
    return replace(claim, saved=tuple(saved)) if saved else claim


def _wanted(connection: sqlite3.Connection, namespace: int, wish: Wish) -> list[line.Kind]:
    kinds = [kind for kind in line.kinds(connection, namespace, wish.ready) if wish.takes(*kind)]
    paused = paused_queues(connection, namespace) if kinds else ()
    return [(queue, task) for queue, task in kinds if queue not in paused]


def paused_queues(connection: sqlite3.Connection, namespace: int) -> frozenset[str]:
    """The queues of which no jobs are claimed."""
    rows = connection.execute(
        "SELECT queue FROM pauses WHERE namespace = ?", (namespace,)
    ).fetchall()
    return frozenset(queue for (queue,) in rows)


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
        f"""
        UPDATE jobs SET ready = {line.mark("crashes")}
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
