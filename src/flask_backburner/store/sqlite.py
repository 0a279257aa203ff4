"""SQLiteStore: jobs in a SQLite file, shared by all processes of a machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import json

from ..clock import Clock, moment
from ..errors import AliasTaken, JobForgotten, JobNotFound, JobNotRetryable, QueueFull
from ..record import JobFile, JobRecord, Line, ResultKind, State, Waiting
from . import claims, rescue, retention
from .base import (
    LINES_KEPT,
    Keeping,
    Mark,
    NewJob,
    Presence,
    Report,
    Settlement,
    Store,
    Turn,
    WorkerInfo,
    new_record,
)
from .connections import BUSY_SECONDS, Connections, translated
from .diagnosis import diagnose
from .durability import LogSync
from .liveness import FilePresence, Liveness
from .moves import cancel, put_back
from .reports import write_reports
from .rows import COLUMNS, read_record
from .schema import migrate
from .settlements import settle
from .transaction import Transaction

CHECKPOINT_BYTES = 16 << 20
CHECKPOINT_RETRY_BYTES = 4 << 20
CHECKPOINT_PATIENCE = 0.05
VACUUM_PAGES = 1000


class SQLiteStore(Store):
    """Jobs in the SQLite file at ``path``, those of one ``namespace``.

    With ``durable`` what is acknowledged survives a power cut; without, the end of any process
    but not of the machine. Beside the file live ``<path>.gate`` and the folder
    ``<path>.live``.
    """

    def __init__(
        self,
        path: str,
        namespace: str,
        *,
        durable: bool = True,
        keeping: Keeping | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.path = os.path.abspath(path)
        self.namespace = namespace
        self._clock = clock or Clock()
        self._keeping = keeping or Keeping()
        self._forgotten = False
        self._connections = Connections(self.path, self._prepare, self._forked)
        self._log = LogSync(self.path) if durable else None
        self._number = 0
        self._live = Liveness(self.path + ".live", namespace, self._clock)
        self._checkpoint_at = CHECKPOINT_BYTES

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)
        connection.execute(
            "INSERT INTO namespaces (name) VALUES (?) ON CONFLICT DO NOTHING", (self.namespace,)
        )
        (self._number,) = connection.execute(
            "SELECT namespace FROM namespaces WHERE name = ?", (self.namespace,)
        ).fetchone()

    def _forked(self) -> None:
        if self._log:
            self._log.renew()
        self._live.forget()

    def _sync(self) -> None:
        if self._log:
            with translated(self.path):
                self._log.sync()

    def now(self) -> float:
        return self._clock.now()

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with self._connections.writing() as connection:
            tx = Transaction(connection, self._number, self.now(), self._keeping)
            yield tx
            tx.write_counters()

    def add(self, jobs: Sequence[NewJob], limit: int) -> list[JobRecord]:
        with self._transaction() as tx:
            last = self._last_seq(tx.connection, len(jobs), limit)
            self._check_aliases(tx, jobs)
            tx.executemany(
                """
                INSERT INTO jobs (seq, id, namespace, task, queue, priority, state, ready,
                                  created_at, run_at, updated_at, owner, deadline, heard_at,
                                  retries, rescues, start_by, alias)
                VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                [self._new_row(seq, job, tx.now) for seq, job in enumerate(jobs, last + 1)],
            )
            arguments = [
                (seq, job.arguments)
                for seq, job in enumerate(jobs, last + 1)
                if job.arguments != claims.NO_ARGUMENTS
            ]
            if arguments:
                tx.executemany("INSERT INTO arguments (seq, data) VALUES (?, ?)", arguments)
            for job in jobs:
                tx.count(job.queue, None, State.QUEUED)
        self._sync()
        return [new_record(job, tx.now) for job in jobs]

    def _new_row(self, seq: int, job: NewJob, now: float) -> tuple[Any, ...]:
        run_at = now if job.run_at is None else job.run_at
        return (
            seq,
            job.id,
            self._number,
            job.task,
            job.queue,
            job.priority,
            None if job.external else run_at <= now,
            now,
            run_at,
            now,
            job.owner,
            job.deadline,
            now if job.deadline is not None else None,
            job.retries,
            job.rescues,
            job.start_by,
            job.alias,
        )

    def _check_aliases(self, tx: Transaction, jobs: Sequence[NewJob]) -> None:
        aliases = [job.alias for job in jobs if job.alias is not None]
        if not aliases:
            return
        taken = tx.rows(
            """
            SELECT alias FROM jobs
            WHERE namespace = ? AND alias IN (SELECT value FROM json_each(?))
            """,
            (self._number, json.encode(aliases).decode()),
        )
        seen = {alias for (alias,) in taken}
        for alias in aliases:
            if alias in seen:
                raise AliasTaken(alias)
            seen.add(alias)

    def _last_seq(self, connection: sqlite3.Connection, more: int, limit: int) -> int:
        """The number of the newest job, if there is room for more."""
        ((queued, last),) = connection.execute(
            """
            SELECT
                (SELECT coalesce(sum(jobs), 0) FROM counters
                 WHERE namespace = ? AND state = 'queued'),
                (SELECT coalesce(max(seq), 0) FROM jobs)
            """,
            (self._number,),
        ).fetchall()
        if queued + more > limit:
            raise QueueFull(queued, limit)
        return int(last)

    def get(self, id: str) -> JobRecord:
        with self._connections.reading() as connection:
            return self._get(connection, id)

    def _get(self, connection: sqlite3.Connection, id: str) -> JobRecord:
        rows = connection.execute(
            f"""
            SELECT {COLUMNS}
            FROM jobs LEFT JOIN faults USING (seq)
            WHERE id = ? AND namespace = ?
            """,
            (id, self._number),
        ).fetchall()
        if not rows:
            raise self._unknown(connection, id)
        record = read_record(rows[0])
        if record.kept_until is not None and record.kept_until.timestamp() <= self.now():
            raise JobForgotten(id, record.owner)
        return record

    def _unknown(self, connection: sqlite3.Connection, id: str) -> JobNotFound:
        rows = connection.execute(
            "SELECT owner FROM tombstones WHERE id = ? AND namespace = ?", (id, self._number)
        ).fetchall()
        return JobForgotten(id, rows[0][0]) if rows else JobNotFound(id)

    def named(self, alias: str) -> str:
        with self._connections.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM jobs WHERE namespace = ? AND alias = ?", (self._number, alias)
            ).fetchall()
        if not rows:
            raise JobNotFound(alias)
        return str(rows[0][0])

    def saved(self, id: str) -> dict[str, bytes]:
        with self._connections.reading() as connection:
            rows = connection.execute(
                """
                SELECT key, data FROM saved
                WHERE seq = (SELECT seq FROM jobs WHERE id = ? AND namespace = ?)
                """,
                (id, self._number),
            ).fetchall()
        return dict(rows)

    def marks(self, ids: Collection[str]) -> dict[str, Mark]:
        with self._connections.reading() as connection:
            rows = connection.execute(
                f"""
                SELECT id, version, last_line, state
                FROM jobs
                WHERE id IN ({", ".join("?" * len(ids))}) AND namespace = ?
                """,
                (*ids, self._number),
            ).fetchall()
        return {id: Mark(version, line, State(state)) for id, version, line, state in rows}

    def find(
        self,
        *,
        state: State | None = None,
        task: str | None = None,
        queue: str | None = None,
        owner: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[JobRecord]:
        wanted = {"state": state, "task": task, "queue": queue, "owner": owner}
        chosen = {column: value for column, value in wanted.items() if value is not None}
        with self._connections.reading() as connection:
            end = self._seq(connection, before) if before is not None else 1 << 62
            rows = connection.execute(
                f"""
                SELECT {COLUMNS}
                FROM jobs LEFT JOIN faults USING (seq)
                WHERE namespace = ? AND seq < ?
                {" ".join(f"AND {column} = ?" for column in chosen)}
                ORDER BY seq DESC
                LIMIT ?
                """,
                (self._number, end, *chosen.values(), limit),
            ).fetchall()
        return [read_record(row) for row in rows]

    def _seq(self, connection: sqlite3.Connection, id: str) -> int:
        rows = connection.execute(
            "SELECT seq FROM jobs WHERE id = ? AND namespace = ?", (id, self._number)
        ).fetchall()
        if not rows:
            raise self._unknown(connection, id)
        return int(rows[0][0])

    def result(self, id: str) -> tuple[ResultKind, bytes] | None:
        with self._connections.reading() as connection:
            rows = connection.execute(
                """
                SELECT coalesce(kind, 'value'), coalesce(results.data, x'6e756c6c')  -- null
                FROM jobs LEFT JOIN results USING (seq)
                WHERE id = ? AND namespace = ? AND state = 'succeeded'
                """,
                (id, self._number),
            ).fetchall()
        return (ResultKind(rows[0][0]), bytes(rows[0][1])) if rows else None

    def files(self, id: str) -> list[JobFile]:
        with self._connections.reading() as connection:
            rows = connection.execute(
                "SELECT name, type, size FROM files WHERE seq = ? ORDER BY name",
                (self._seq(connection, id),),
            ).fetchall()
        return [JobFile(*row) for row in rows]

    def waiting(self, id: str) -> Waiting | None:
        with translated(self.path):
            workers = self._live.lately_alive()
        with self._connections.reading() as connection:
            return diagnose(connection, self._seq(connection, id), self.now(), workers)

    def oldest_queued(self) -> dict[str, float]:
        now = self.now()
        with self._connections.reading() as connection:
            rows = connection.execute(
                """
                SELECT queue, max(created_at, run_at) FROM jobs
                WHERE seq IN (
                    SELECT min(seq) FROM jobs
                    WHERE namespace = ? AND state = 'queued' AND ready = 1
                    GROUP BY queue
                    UNION ALL
                    SELECT min(seq) FROM jobs
                    WHERE namespace = ? AND state = 'queued' AND ready = 2
                    GROUP BY queue
                )
                UNION ALL
                -- Nobody has made these ready yet: where no worker is, that is all there is.
                SELECT queue, min(max(created_at, run_at)) FROM jobs
                WHERE namespace = ? AND state = 'queued' AND ready = 0 AND run_at <= ?
                GROUP BY queue
                """,
                (self._number, self._number, self._number, now),
            ).fetchall()
            paused = claims.paused_queues(connection, self._number)
        oldest: dict[str, float] = {}
        for queue, since in rows:
            if queue in paused:
                continue
            oldest[queue] = max(oldest.get(queue, 0.0), now - since)
        return oldest

    def workers(self) -> list[WorkerInfo]:
        with translated(self.path):
            return self._live.alive()

    def check_writable(self) -> None:
        with self._connections.writing() as connection:
            connection.execute(
                "UPDATE namespaces SET name = name WHERE namespace = ?", (self._number,)
            )

    def lines(self, id: str, after: int = 0, limit: int = LINES_KEPT) -> list[Line]:
        with self._connections.reading() as connection:
            rows = connection.execute(
                """
                SELECT line, at, level, text
                FROM lines
                WHERE seq = ? AND line > ?
                ORDER BY line
                LIMIT ?
                """,
                (self._seq(connection, id), after, limit),
            ).fetchall()
        return [Line(moment(at), level, text, line) for line, at, level, text in rows]

    def counters(self) -> dict[tuple[str, State], int]:
        with self._connections.reading() as connection:
            rows = connection.execute(
                "SELECT queue, state, jobs FROM counters WHERE namespace = ?", (self._number,)
            ).fetchall()
        return {(queue, State(state)): jobs for queue, state, jobs in rows if jobs}

    def join(self, threads: int = 1, queues: Collection[str] | None = None) -> Presence:
        with translated(self.path):
            return self._live.join(threads, queues)

    def turn(
        self,
        presence: Presence | None,
        *,
        settled: Sequence[Settlement] = (),
        reports: Sequence[Report] = (),
        room: int = 0,
        queues: Collection[str] | None = None,
        tasks: Collection[str] = (),
        alone: bool = False,
    ) -> Turn:
        if presence is None:
            return self._outside_turn(settled, reports)
        assert isinstance(presence, FilePresence)
        with translated(self.path):
            presence.restore()
        wish = claims.Wish(min(room, presence.capacity), queues, tasks, alone)
        if not settled and not reports and not presence.undelivered:
            with self._connections.reading() as connection:
                cancelling = claims.cancelling(connection, presence.worker)
                if not claims.any_work(connection, self._number, wish, self.now()):
                    return Turn(cancelling=cancelling)
        with self._transaction() as tx:
            refused = write_reports(tx, reports)
            refused += settle(tx, settled)
            claimed = claims.claim(tx, wish, presence.worker)
            cancelling = claims.cancelling(tx.connection, presence.worker)
        presence.hold(claimed)
        presence.drop([entry.claim for entry in settled] + refused)
        if settled or any(report.saved for report in reports):
            self._sync()
        return Turn(presence.deliver(), tuple(refused), cancelling)

    def _outside_turn(self, settled: Sequence[Settlement], reports: Sequence[Report]) -> Turn:
        with self._transaction() as tx:
            refused = write_reports(tx, reports) + settle(tx, settled)
        if settled or any(report.saved for report in reports):
            self._sync()
        return Turn(refused=tuple(refused))

    def request_cancel(self, id: str) -> JobRecord:
        with self._transaction() as tx:
            cancel(tx, id)
            record = self._get(tx.connection, id)
        self._sync()
        return record

    def retry(self, id: str) -> JobRecord:
        with self._transaction() as tx:
            record = self._get(tx.connection, id)
            if record.state not in (State.FAILED, State.CANCELLED) or record.external:
                raise JobNotRetryable(id, record.state, " and an external job" * record.external)
            put_back(tx, self._seq(tx.connection, id))
            tx.count(record.queue, record.state, State.QUEUED)
            record = self._get(tx.connection, id)
        self._sync()
        return record

    def pause(self, queue: str, on: bool) -> None:
        with self._transaction() as tx:
            if on:
                sql = "INSERT OR IGNORE INTO pauses (namespace, queue) VALUES (?, ?)"
            else:
                sql = "DELETE FROM pauses WHERE namespace = ? AND queue = ?"
            tx.execute(sql, (self._number, queue))
        self._sync()

    def paused(self) -> frozenset[str]:
        with self._connections.reading() as connection:
            return claims.paused_queues(connection, self._number)

    def rescue(self, hang: float | None = None) -> list[str]:
        rescued: list[str] = []
        with translated(self.path):
            for worker, started in self._live.dead():
                rescued += self._rescue(worker, started)
            holders = self._holders()
            for worker in sorted(holders.difference(self._live.workers())) if holders else ():
                rescued += self._rescue(worker, None)  # as when the folder was deleted
            for worker, started in self._live.hung(hang) if hang is not None else ():
                if worker in holders:
                    rescued += self._rescue(worker, started, hung=True)
        return rescued + self._end_overdue()

    def bury(self, worker: str) -> None:
        """Its lock says it already."""

    def vouch(self, worker: str) -> None:
        """Its lock says it already."""

    def _rescue(
        self, worker: str, started: frozenset[tuple[str, int]] | None, *, hung: bool = False
    ) -> list[str]:
        with self._transaction() as tx:
            rescued = rescue.rescue(tx, worker, started, hung=hung)
        self._sync()
        return rescued

    def _end_overdue(self) -> list[str]:
        """End what has waited too long: for news of it, or to be begun."""
        now = self.now()
        with self._connections.reading() as connection:
            if not (
                rescue.silent(connection, self._number, now)
                or rescue.expired(connection, self._number, now)
            ):
                return []
        with self._transaction() as tx:
            ended = rescue.give_up_silent(tx) + rescue.expire(tx)
        self._sync()
        return ended

    def _holders(self) -> set[str]:
        """The workers that have running jobs."""
        with self._connections.reading() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT worker FROM jobs
                WHERE namespace = ? AND state = 'running' AND worker IS NOT NULL
                """,
                (self._number,),
            ).fetchall()
        return {worker for (worker,) in rows}

    def purge(self, limit: int, before: float | None = None) -> list[str]:
        with self._connections.reading() as connection:
            rows = self._to_forget(connection, limit, before)
        if not rows:
            return []
        with self._transaction() as tx:
            # Another process may have been quicker.
            forgotten = retention.forget(tx, retention.still_there(tx, [id for _, id, *_ in rows]))
        self._forgotten = True
        return forgotten

    def forget(self, id: str) -> bool:
        with self._transaction() as tx:
            forgotten = retention.forget(tx, retention.still_there(tx, [id]))
        self._forgotten = self._forgotten or bool(forgotten)
        return bool(forgotten)

    def _to_forget(
        self, connection: sqlite3.Connection, limit: int, before: float | None
    ) -> list[tuple[Any, ...]]:
        if before is not None:
            return retention.finished_before(connection, self._number, limit, before)
        rows = retention.overdue(connection, self._number, limit, self.now())
        if rows:
            return rows
        surplus = retention.bytes_taken(connection) - self._keeping.bytes
        if surplus <= 0:
            return []
        return retention.oldest_finished(connection, self._number, limit, surplus)

    def elect(self, role: str) -> bool:
        with translated(self.path):
            return self._live.elect(role)

    def resign(self, role: str) -> None:
        self._live.resign(role)

    def tend(self) -> None:
        """Give back freed pages, and make a checkpoint once the log is large."""
        if self._forgotten:
            self._forgotten = False
            with self._connections.alone(BUSY_SECONDS) as connection:
                # A script, because execute() frees a single page only.
                connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        try:
            size = os.path.getsize(self.path + "-wal")
        except FileNotFoundError:
            return
        if size < self._checkpoint_at:
            self._checkpoint_at = min(self._checkpoint_at, size + CHECKPOINT_BYTES)
            return
        with self._connections.alone(CHECKPOINT_PATIENCE) as connection:
            (blocked, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._checkpoint_at = size + CHECKPOINT_RETRY_BYTES if blocked else CHECKPOINT_BYTES

    def close(self) -> None:
        self._live.close()
        self._connections.close()
        if self._log:
            self._log.close()
