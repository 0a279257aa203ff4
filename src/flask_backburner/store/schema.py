"""The database's schema, as steps from one version to the next."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..errors import StoreError

APPLICATION_ID = 0x4261636B
"""Marks a SQLite file as ours: "Back" in ASCII."""

STEPS: Sequence[str] = (
    """
    CREATE TABLE namespaces (
        namespace INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    );

    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        namespace INTEGER NOT NULL,
        task TEXT NOT NULL,
        queue TEXT NOT NULL,
        priority INTEGER NOT NULL,
        state TEXT NOT NULL,
        ready INTEGER,  -- 1 may run, 2 alone; 0 while run_at is to come; NULL never: external
        owner TEXT,
        alias TEXT,
        version INTEGER NOT NULL DEFAULT 1,
        fence INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        rescues INTEGER NOT NULL,
        failures INTEGER NOT NULL DEFAULT 0,
        retries INTEGER NOT NULL,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        overdue INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        run_at REAL NOT NULL,
        start_by REAL,  -- expires if it was not begun by then
        started_at REAL,
        finished_at REAL,
        updated_at REAL NOT NULL,
        kept_until REAL,  -- set when it finishes
        deadline REAL,  -- of an external job: seconds of silence that it may keep
        heard_at REAL,
        worker TEXT,
        files INTEGER NOT NULL DEFAULT 0,
        current NUMERIC,
        total NUMERIC,
        message TEXT,
        phase TEXT,
        progressed_at REAL,
        last_line INTEGER NOT NULL DEFAULT 0
    );

    -- Partial indexes over live rows only: finished jobs cost nothing to a claim.
    CREATE INDEX jobs_ready ON jobs (namespace, queue, task, priority DESC, seq)
        WHERE state = 'queued' AND ready = 1;
    CREATE INDEX jobs_suspect ON jobs (namespace, queue, task, priority DESC, seq)
        WHERE state = 'queued' AND ready = 2;
    CREATE INDEX jobs_expiring ON jobs (namespace, start_by)
        WHERE state = 'queued' AND attempt = 0 AND start_by IS NOT NULL;
    CREATE INDEX jobs_scheduled ON jobs (namespace, run_at)
        WHERE state = 'queued' AND ready = 0;
    CREATE INDEX jobs_running ON jobs (namespace, worker)
        WHERE state = 'running';
    CREATE INDEX jobs_cancelling ON jobs (worker)
        WHERE state = 'running' AND cancel_requested = 1;
    CREATE INDEX jobs_deadline ON jobs (namespace)
        WHERE deadline IS NOT NULL AND kept_until IS NULL;
    CREATE INDEX jobs_finished ON jobs (namespace, kept_until)
        WHERE kept_until IS NOT NULL;
    CREATE INDEX jobs_owner ON jobs (namespace, owner, seq)
        WHERE owner IS NOT NULL;
    CREATE UNIQUE INDEX jobs_alias ON jobs (namespace, alias)
        WHERE alias IS NOT NULL;

    -- Beside the jobs, so that the rows that every claim and status touches stay small.
    CREATE TABLE arguments (seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE results (
        seq INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        data BLOB NOT NULL
    );
    CREATE TABLE saved (
        seq INTEGER NOT NULL,
        key TEXT NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (seq, key)
    ) WITHOUT ROWID;
    CREATE TABLE files (
        seq INTEGER NOT NULL,
        name TEXT NOT NULL,
        type TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (seq, name)
    ) WITHOUT ROWID;
    CREATE TABLE faults (
        seq INTEGER PRIMARY KEY,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        public INTEGER NOT NULL,
        traceback TEXT
    );
    CREATE TABLE lines (
        seq INTEGER NOT NULL,
        line INTEGER NOT NULL,
        at REAL NOT NULL,
        level TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (seq, line)
    ) WITHOUT ROWID;

    CREATE TABLE pauses (
        namespace INTEGER NOT NULL,
        queue TEXT NOT NULL,
        PRIMARY KEY (namespace, queue)
    ) WITHOUT ROWID;

    CREATE TABLE tombstones (
        id TEXT PRIMARY KEY,
        namespace INTEGER NOT NULL,
        owner TEXT,
        forgotten_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX tombstones_age ON tombstones (namespace, forgotten_at);

    CREATE TABLE counters (
        namespace INTEGER NOT NULL,
        queue TEXT NOT NULL,
        state TEXT NOT NULL,
        jobs INTEGER NOT NULL,
        PRIMARY KEY (namespace, queue, state)
    ) WITHOUT ROWID;
    """,
)
"""Step N leads from version N to N + 1. A released step is never changed."""


def migrate(connection: sqlite3.Connection, steps: Sequence[str] = STEPS) -> None:
    """Bring the database to the newest version; each step commits together with its number.

    Raises ``StoreError`` if the database is of a later version than this package knows, or of
    another program: its tables are not ours to touch.
    """
    ((owner, version, tables),) = connection.execute(
        """
        SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
        FROM pragma_application_id, pragma_user_version
        """
    ).fetchall()
    if tables and owner != APPLICATION_ID:
        raise StoreError(
            "The file is the database of another program. Set BACKBURNER_URL to a file of its "
            "own, such as sqlite:///backburner.db."
        )
    if not tables:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if version > len(steps):
        raise StoreError(
            f"The job store has schema version {version}, and this Flask-Backburner knows only "
            f"{len(steps)}. Update Flask-Backburner to at least the version that wrote it."
        )
    for number, step in enumerate(steps[version:], version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {step}; PRAGMA user_version = {number}; COMMIT"
            )
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
