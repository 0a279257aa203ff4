"""Why a queued job does not run yet, asked of SQLite."""

from __future__ import annotations

import sqlite3

from ..record import Reason, Waiting
from . import line
from .base import COUNTED, PATIENCE_FOR_WORKER, WorkerInfo

SAMPLE = 50


def diagnose(
    connection: sqlite3.Connection, seq: int, now: float, workers: list[WorkerInfo]
) -> Waiting | None:
    """The diagnosis of a job, given the workers that are alive; none unless it is queued."""
    rows = connection.execute(
        """
        SELECT namespace, queue, priority, run_at, max(created_at, run_at)
        FROM jobs
        WHERE seq = ? AND state = 'queued' AND ready IS NOT NULL
        """,
        (seq,),
    ).fetchall()
    if not rows:
        return None
    ((namespace, queue, priority, run_at, since),) = rows
    if run_at > now:
        return Waiting(Reason.SCHEDULED, None, round(run_at - now, 1))
    serving = [each for each in workers if each.queues is None or queue in each.queues]
    position = _position(connection, namespace, queue, priority, seq)
    if not serving and now - since >= PATIENCE_FOR_WORKER:
        return Waiting(Reason.NO_WORKER, position)
    slots = sum(each.threads for each in serving)
    return Waiting(
        Reason.IN_LINE, position, _estimate(connection, namespace, queue, position, slots)
    )


def _position(
    connection: sqlite3.Connection, namespace: int, queue: str, priority: int, seq: int
) -> int | None:
    """The job's place in its queue, counted no further than it makes sense to say."""
    kinds = [kind for kind in line.kinds(connection, namespace) if kind[0] == queue]
    before = line.first(connection, namespace, kinds, COUNTED)
    ahead = sum(place < (-priority, seq) for place in before)
    return ahead + 1 if ahead < COUNTED else None


def _estimate(
    connection: sqlite3.Connection, namespace: int, queue: str, position: int | None, slots: int
) -> float | None:
    """Seconds until the job starts, if the next jobs take as long as the last ones did."""
    if position is None or not slots:
        return None
    ((usual,),) = connection.execute(
        """
        SELECT avg(finished_at - started_at) FROM (
            SELECT queue, started_at, finished_at FROM jobs
            WHERE namespace = ? AND kept_until IS NOT NULL
            ORDER BY kept_until DESC
            LIMIT ?
        )
        WHERE queue = ? AND started_at IS NOT NULL
        """,
        (namespace, SAMPLE, queue),
    ).fetchall()
    return None if usual is None else round(usual * position / slots, 1)
