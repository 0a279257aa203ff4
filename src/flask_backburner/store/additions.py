"""Adding jobs on SQLite: what is checked before, and what is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import json

from ..errors import AliasTaken, QueueFull
from ..record import State
from .claims import NO_ARGUMENTS
from .new_job import NewJob
from .transaction import Transaction


def add_jobs(tx: Transaction, jobs: Sequence[NewJob], limit: int) -> None:
    """Write the rows of new jobs. Raises ``QueueFull`` and ``AliasTaken``."""
    first = _last_seq(tx, len(jobs), limit) + 1
    _check_aliases(tx, [job.alias for job in jobs if job.alias is not None])
    tx.executemany(
        """
        INSERT INTO jobs (seq, id, namespace, task, queue, priority, state, ready,
                          created_at, run_at, updated_at, owner, deadline, heard_at,
                          retries, rescues, start_by, alias)
        VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [_row(tx, seq, job) for seq, job in enumerate(jobs, first)],
    )
    arguments = [
        (seq, job.arguments) for seq, job in enumerate(jobs, first) if job.arguments != NO_ARGUMENTS
    ]
    if arguments:
        tx.executemany("INSERT INTO arguments (seq, data) VALUES (?, ?)", arguments)
    for job in jobs:
        tx.count(job.queue, None, State.QUEUED)


def _last_seq(tx: Transaction, more: int, limit: int) -> int:
    """The number of the newest job, if there is room for more."""
    ((queued, last),) = tx.rows(
        """
        SELECT
            (SELECT coalesce(sum(jobs), 0) FROM counters
             WHERE namespace = ? AND state = 'queued'),
            (SELECT coalesce(max(seq), 0) FROM jobs)
        """,
        (tx.namespace,),
    )
    if queued + more > limit:
        raise QueueFull(queued, limit)
    return int(last)


def _check_aliases(tx: Transaction, aliases: list[str]) -> None:
    if not aliases:
        return
    taken = tx.rows(
        """
        SELECT alias FROM jobs
        WHERE namespace = ? AND alias IN (SELECT value FROM json_each(?))
        """,
        (tx.namespace, json.encode(aliases).decode()),
    )
    seen = {alias for (alias,) in taken}
    for alias in aliases:
        if alias in seen:
            raise AliasTaken(alias)
        seen.add(alias)


def _row(tx: Transaction, seq: int, job: NewJob) -> tuple[Any, ...]:
    run_at = tx.now if job.run_at is None else job.run_at
    return (
        seq,
        job.id,
        tx.namespace,
        job.task,
        job.queue,
        job.priority,
        None if job.external else run_at <= tx.now,
        tx.now,
        run_at,
        tx.now,
        job.owner,
        job.deadline,
        None if job.deadline is None else tx.now,
        job.retries,
        job.rescues,
        job.start_by,
        job.alias,
    )
