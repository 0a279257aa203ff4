"""Why a queued job does not run yet, asked of SQLite."""

from __future__ import annotations

import sqlite3

from ..record import Reason, Waiting
from . import line
from .base import COUNTED, PATIENCE_FOR_WORKER, WorkerInfo
from .claims import paused_queues
from .estimate import estimate, left_of

SAMPLE = 50
RUNNING_READ = 1000


def diagnose(
    connection: sqlite3.Connection, seq: int, now: float, workers: list[WorkerInfo]
) -> Waiting | None:
    """The diagnosis of a job, given the workers that are alive; none unless it is queued."""
    rows = connection.execute(
        """
        SELECT namespace, queue, priority, run_at, max(created_at, run_at), failures + crashes
        FROM jobs
        WHERE seq = ? AND state = 'queued' AND ready IS NOT NULL
        """,
        (seq,),
    ).fetchall()
    if not rows:
        return None
    ((namespace, queue, priority, run_at, since, mishaps),) = rows
    if run_at > now:
        reason = Reason.RETRY if mishaps else Reason.SCHEDULED
        return Waiting(reason, None, round(run_at - now, 1))
    if queue in paused_queues(connection, namespace):
        return Waiting(Reason.PAUSED)
    serving = [each for each in workers if each.queues is None or queue in each.queues]
    position = _position(connection, namespace, queue, (-priority, seq), now)
    if not serving and now - since >= PATIENCE_FOR_WORKER:
        return Waiting(Reason.NO_WORKER, position)
    slots = sum(each.threads for each in serving)
    estimate = _estimate(connection, namespace, position, slots, now)
    return Waiting(Reason.IN_LINE, position, estimate)


def _position(
    connection: sqlite3.Connection, namespace: int, queue: str, own: line.Place, now: float
) -> int | None:
    """The job's place in its queue, counted no further than it makes sense to say."""
    kinds = [kind for kind in line.kinds(connection, namespace, line.READY) if kind[0] == queue]
    before = line.first(connection, namespace, kinds, COUNTED, line.READY, now)
    ahead = sum(place < own for place in before)
    return ahead + 1 if ahead < COUNTED else None


def _estimate(
    connection: sqlite3.Connection,
    namespace: int,
    position: int | None,
    slots: int,
    now: float,
) -> float | None:
    """Seconds until the job starts, if jobs take as long as the last of their task did."""
    if position is None or not slots:
        return None
    usual = _usual(connection, namespace)
    return estimate(position, slots, usual, _left(connection, namespace, usual, now))


def _usual(connection: sqlite3.Connection, namespace: int) -> dict[str, float]:
    """How long the last jobs of each task took."""
    return dict(
        connection.execute(
            """
            SELECT task, avg(finished_at - started_at) FROM (
                SELECT task, started_at, finished_at FROM jobs
                WHERE namespace = ? AND kept_until IS NOT NULL
                ORDER BY kept_until DESC
                LIMIT ?
            )
            WHERE started_at IS NOT NULL
            GROUP BY task
            """,
            (namespace, SAMPLE),
        ).fetchall()
    )


def _left(
    connection: sqlite3.Connection, namespace: int, usual: dict[str, float], now: float
) -> list[float]:
    """How much longer each running job takes, by its progress, else by its task."""
    rows = connection.execute(
        """
        SELECT task, started_at, current / CAST(total AS REAL), progressed_at
        FROM jobs
        WHERE namespace = ? AND state = 'running' AND ready IS NOT NULL
        LIMIT ?
        """,
        (namespace, RUNNING_READ),
    ).fetchall()
    return [left_of(usual, now, *row) for row in rows]
