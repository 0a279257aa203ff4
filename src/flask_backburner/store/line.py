"""The line: the jobs of a SQLite store that may run now, each task's of each queue in its order."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

from ..record import SUSPICIOUS

Kind = tuple[str, str]
"""A queue and a task."""

Place = tuple[int, int]
"""What orders jobs: the negated priority, then the number."""

READY = 1
ALONE = 2
"""Marks of ``jobs.ready``: whether a job that may run now may run beside others."""

KINDS_AT_ONCE = 100
"""SQLite joins at most 500 queries by UNION ALL."""


def mark(crashes: str) -> str:
    """In SQL, the mark of a job that may run now and has crashed so often."""
    return f"CASE WHEN {crashes} >= {SUSPICIOUS} THEN {ALONE} ELSE {READY} END"


def kinds(connection: sqlite3.Connection, namespace: int, ready: int) -> list[Kind]:
    """Of which queues and tasks there are such jobs, by one look into the index for each."""
    next_kind = _next_kind_sql(ready)
    found: list[Kind] = []
    queue = after = ""
    while rows := connection.execute(next_kind, (namespace, queue, after)).fetchall():
        ((queue, task),) = rows
        found.append((queue, task))
        # The text next to it: after a mere ">" SQLite would walk through all jobs of the kind.
        after = task + "\0"
    return found


@cache
def _next_kind_sql(ready: int) -> str:
    # The mark is written out, or SQLite would not see that a partial index has what it needs.
    return f"""
        SELECT queue, task FROM jobs
        WHERE namespace = ? AND state = 'queued' AND ready = {ready} AND (queue, task) >= (?, ?)
        ORDER BY queue, task
        LIMIT 1
    """


def first(
    connection: sqlite3.Connection,
    namespace: int,
    kinds: Sequence[Kind],
    most: int,
    ready: int,
    now: float,
) -> list[Place]:
    """The places of the first in line among the jobs of these kinds, in order.

    Those that have expired stand in nobody's way; upkeep ends them.
    """
    found: list[Place] = []
    for start in range(0, len(kinds), KINDS_AT_ONCE):
        some = kinds[start : start + KINDS_AT_ONCE]
        parameters = chain.from_iterable((namespace, *kind, now, most) for kind in some)
        found += connection.execute(_first_sql(len(some), ready), tuple(parameters)).fetchall()
    return sorted(found)[:most]


@cache
def _first_sql(kinds: int, ready: int) -> str:
    one = f"""
        SELECT * FROM (
            SELECT -priority, seq FROM jobs
            WHERE namespace = ? AND queue = ? AND task = ? AND state = 'queued' AND ready = {ready}
              AND (start_by IS NULL OR start_by > ? OR attempt > 0)
            ORDER BY priority DESC, seq
            LIMIT ?
        )
    """
    return " UNION ALL ".join([one] * kinds)
