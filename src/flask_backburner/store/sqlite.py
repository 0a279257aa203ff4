"""SQLiteStore: jobs in a SQLite file, shared by all processes of a machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..clock import Clock
from ..errors import JobNotRetryable
from ..record import JobFile, JobRecord, Line, ResultKind, State, Waiting
from . import claims, rescue, retention
from .additions import add_jobs
from .base import (
    LINES_KEPT,
    Keeping,
    Mark,
    Presence,
    Store,
    WorkerInfo,
)
from .claim import Report, Settlement, Turn
from .connections import BUSY_SECONDS, Connections, translated
from .diagnosis import diagnose
from .durability import LogSync
from .liveness import FilePresence, Liveness
from .look import Look
from .moves import cancel, put_back
from .new_job import NewJob, new_record
from .reports import write_reports
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
            add_jobs(tx, jobs, limit)
        self._sync()
        return [new_record(job, tx.now) for job in jobs]

    @contextmanager
    def _look(self) -> Iterator[Look]:
        with self._connections.reading() as connection:
            yield Look(connection, self._number, self.now())

    def get(self, id: str) -> JobRecord:
        with self._look() as look:
            return look.get(id)

    def named(self, alias: str) -> str:
        with self._look() as look:
            return look.named(alias)

    def saved(self, id: str) -> dict[str, bytes]:
        with self._look() as look:
            return look.saved(id)

    def marks(self, ids: Collection[str]) -> dict[str, Mark]:
        with self._look() as look:
            return look.marks(ids)

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
        with self._look() as look:
            return look.find(wanted, limit, before)

    def result(self, id: str) -> tuple[ResultKind, bytes] | None:
        with self._look() as look:
            return look.result(id)

    def files(self, id: str) -> list[JobFile]:
        with self._look() as look:
            return look.files(id)

    def lines(self, id: str, after: int = 0, limit: int = LINES_KEPT) -> list[Line]:
        with self._look() as look:
            return look.lines(id, after, limit)

    def counters(self) -> dict[tuple[str, State], int]:
        with self._look() as look:
            return look.counters()

    def oldest_queued(self) -> dict[str, float]:
        with self._look() as look:
            return look.oldest_queued()

    def waiting(self, id: str) -> Waiting | None:
        with translated(self.path):
            workers = self._live.lately_alive()
        with self._look() as look:
            return diagnose(look.connection, look.seq(id), look.now, workers)

    def workers(self) -> list[WorkerInfo]:
        with translated(self.path):
            return self._live.alive()

    def check_writable(self) -> None:
        with self._connections.writing() as connection:
            connection.execute(
                "UPDATE namespaces SET name = name WHERE namespace = ?", (self._number,)
            )

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
            record = _look_into(tx).get(id)
        self._sync()
        return record

    def retry(self, id: str) -> JobRecord:
        with self._transaction() as tx:
            look = _look_into(tx)
            record = look.get(id)
            if record.state not in (State.FAILED, State.CANCELLED) or record.external:
                raise JobNotRetryable(id, record.state, " and an external job" * record.external)
            put_back(tx, look.seq(id))
            tx.count(record.queue, record.state, State.QUEUED)
            record = look.get(id)
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
        ended: list[str] = []
        while some := self._end_some_overdue():
            ended += some
        return ended

    def _end_some_overdue(self) -> list[str]:
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


def _look_into(tx: Transaction) -> Look:
    """What a transaction sees, its own changes included."""
    return Look(tx.connection, tx.namespace, tx.now)
