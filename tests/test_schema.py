"""The schema's steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from flask_backburner.errors import StoreError
from flask_backburner.store.schema import STEPS, migrate

ONE = "CREATE TABLE one (a)"
TWO = "CREATE TABLE two (a); INSERT INTO two VALUES (1)"
BROKEN = "CREATE TABLE three (a); INSERT INTO nowhere VALUES (1)"


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master").fetchall()}


def test_a_new_database_takes_every_step(database: sqlite3.Connection) -> None:
    migrate(database)
    assert version(database) == len(STEPS)
    assert {"jobs", "arguments", "results", "lines", "counters"} <= tables(database)


def test_a_step_is_taken_once(database: sqlite3.Connection) -> None:
    migrate(database, [ONE])
    migrate(database, [ONE, TWO])
    migrate(database, [ONE, TWO])
    assert (version(database), tables(database)) == (2, {"one", "two"})
    assert database.execute("SELECT count(*) FROM two").fetchall() == [(1,)]


def test_a_step_that_fails_leaves_everything_as_it_was(database: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        migrate(database, [ONE, TWO, BROKEN])
    assert not database.in_transaction
    assert (version(database), tables(database)) == (2, {"one", "two"})
    migrate(database, [ONE, TWO, "CREATE TABLE three (a)"])
    assert (version(database), tables(database)) == (3, {"one", "two", "three"})


def test_a_database_of_a_later_version_is_left_alone(database: sqlite3.Connection) -> None:
    migrate(database, [ONE, TWO])
    with pytest.raises(StoreError) as refused:
        migrate(database, [ONE])
    assert str(refused.value) == (
        "The job store has schema version 2, and this Flask-Backburner knows only 1. "
        "Update Flask-Backburner to at least the version that wrote it."
    )
    assert version(database) == 2


def test_the_database_of_another_program_is_left_alone(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE jobs (theirs)")
    with pytest.raises(StoreError) as refused:
        migrate(database)
    assert str(refused.value) == (
        "The file is the database of another program. Set BACKBURNER_URL to a file of its own, "
        "such as sqlite:///backburner.db."
    )
    assert (version(database), tables(database)) == (0, {"jobs"})
