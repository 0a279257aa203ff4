"""The line: the jobs of a SQLite store that may run now, each task's of each queue in its order."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

Kind = tuple[str, str]
"""A queue and a task."""

Place = tuple[int, int]
"""What orders jobs: the negated priority, then the number."""

KINDS_AT_ONCE = 100
"""SQLite joins at most 500 queries by UNION ALL."""

_NEXT_KIND = """
    SELECT queue, task FROM jobs
    WHERE namespace = ? AND state = 'queued' AND ready = 1 AND (queue, task) >= (?, ?)
    ORDER BY queue, task
    LIMIT 1
"""


def kinds(connection: sqlite3.Connection, namespace: int) -> list[Kind]:
    """Of which queues and tasks there are jobs, by one look into the index for each."""
    found: list[Kind] = []
    queue = after = ""
    while rows := connection.execute(_NEXT_KIND, (namespace, queue, after)).fetchall():
        ((queue, task),) = rows
        found.append((queue, task))
        # The text next to it: after a mere ">" SQLite would walk through all jobs of the kind.
        after = task + "\0"
    return found


def first(
    connection: sqlite3.Connection, namespace: int, kinds: Sequence[Kind], most: int
) -> list[Place]:
    """The places of the first in line among the jobs of these kinds, in order."""
    found: list[Place] = []
    for start in range(0, len(kinds), KINDS_AT_ONCE):
        some = kinds[start : start + KINDS_AT_ONCE]
        parameters = chain.from_iterable((namespace, *kind, most) for kind in some)
        found += connection.execute(_first_sql(len(some)), tuple(parameters)).fetchall()
    return sorted(found)[:most]


@cache
def _first_sql(kinds: int) -> str:
    one = """
        SELECT * FROM (
            SELECT -priority, seq FROM jobs
            WHERE namespace = ? AND queue = ? AND task = ? AND state = 'queued' AND ready = 1
            ORDER BY priority DESC, seq
            LIMIT ?
        )
    """
    return " UNION ALL ".join([one] * kinds)
