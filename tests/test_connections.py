"""Connections: over forks, over files that vanish, and over files that are none."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_backburner.errors import StoreBusy, StoreCorrupt, StoreError
from flask_backburner.record import State, Succeeded
from flask_backburner.store import connections
from flask_backburner.store.connections import READERS_KEPT, Connections
from flask_backburner.store.schema import STEPS
from flask_backburner.store.sqlite import SQLiteStore
from support.programs import OBEDIENT, running, said
from support.stores import SQLiteHome, add, claim, settle
from support.waiting import until

SQLITE = b"SQLite format 3\0"

BOTH_GO_ON = """
import os, sys
from flask_backburner.store.sqlite import SQLiteStore
from flask_backburner.record import Succeeded
from support.stores import add, claim, settle

store = SQLiteStore(sys.argv[1], "app")
add(store, "before", "kept")
worker = store.join()
held, _ = claim(store, worker)
worker.started(held)
assert store.elect("upkeep")

pid = os.fork()
if pid == 0:
    add(store, "child")
    assert not store.elect("upkeep")
    assert len(store.rescue()) == 0
    other = store.join()
    (own,) = claim(store, other)
    assert settle(store, other, own, Succeeded(b"1")) == []
    store.close()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0

add(store, "parent")
assert store.elect("upkeep")
assert len(store.rescue()) == 0
assert settle(store, worker, held, Succeeded(b"2")) == []
print(*sorted(f"{record.id}:{record.state}" for record in store.find()))
store.close()
"""

PARENT_DIES = """
import os, signal, sys
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import add, claim

store = SQLiteStore(sys.argv[1], "app")
add(store, "a")
worker = store.join()
(held,) = claim(store, worker)
worker.started(held)
assert store.elect("upkeep")
pid = os.fork()
if pid == 0:
    os.read(0, 1)
    os._exit(0)
print(pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

TWO_STORES = """
import os, sys
from flask_backburner.store import gate
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import add

gate.PATIENCE = 60  # far beyond the patience of who waits for this program
stores = [SQLiteStore(sys.argv[1], name) for name in ("a", "b")]
for store in stores:
    add(store, f"before-{store.namespace}")
pid = os.fork()
for store in stores:
    add(store, f"{pid == 0}-{store.namespace}")
    store.close()
if pid == 0:
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(*(len(store.find()) for store in stores))
for store in stores:
    store.close()
"""

BUSY_THREADS = """
import os, sys, threading, warnings
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import add

warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: it is the point
store = SQLiteStore(sys.argv[1], "app", durable=False)
failed = []
enough = threading.Event()

def use(name):
    number = 0
    try:
        while not enough.is_set():
            add(store, f"{name}-{number}")
            assert store.get(f"{name}-{number}").id
            number += 1
    except BaseException as error:
        failed.append(error)

threads = [threading.Thread(target=use, args=(f"t{n}",)) for n in range(4)]
for thread in threads:
    thread.start()
for fork in range(20):
    pid = os.fork()
    if pid == 0:
        add(store, f"child-{fork}")
        os._exit(store.get(f"child-{fork}").id != f"child-{fork}")
    assert os.waitpid(pid, 0)[1] == 0
enough.set()
for thread in threads:
    thread.join()
assert not failed, failed
print(sum(record.id.startswith("child") for record in store.find(limit=1_000_000)))
store.close()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SQLiteHome]:
    home = SQLiteHome(tmp_path)
    yield home
    home.close()


def open_files(folder: Path) -> list[str]:
    targets = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if _is_open(entry)]
    return sorted(target for target in targets if target.startswith(str(folder)))


def _is_open(entry: os.DirEntry[str]) -> bool:
    return os.path.lexists(entry.path)


# forks


def test_after_a_fork_parent_and_child_both_go_on(home: SQLiteHome) -> None:
    assert said(BOTH_GO_ON, home.path) == (
        "before:succeeded child:succeeded kept:running parent:queued"
    )


def test_a_childs_life_keeps_no_lock_of_its_dead_parent(home: SQLiteHome) -> None:
    with running(PARENT_DIES, home.path) as parent:
        parent.wait()
        store = home.store()
        # The child closes what it inherited as its first deed.
        until(lambda: len(store.rescue()) == 1, what="the rescue of the parent's job")
        assert store.get("a").crashes == 1
        assert store.elect("upkeep")
        add(store, "b")
        assert parent.stdin is not None
        parent.stdin.close()


def test_two_stores_on_a_file_do_not_wait_for_each_other_at_a_fork(home: SQLiteHome) -> None:
    assert said(TWO_STORES, home.path) == "3 3"


def test_forks_amid_busy_threads_harm_nobody(home: SQLiteHome) -> None:
    assert said(BUSY_THREADS, home.path) == "20"
    database = sqlite3.connect(home.path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_a_fork_after_closing_opens_nothing(home: SQLiteHome, tmp_path: Path) -> None:
    store = home.store()
    add(store, "a")
    store.close()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert open_files(tmp_path) == []


def test_a_fork_that_no_hook_was_told_of_is_noticed(
    home: SQLiteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = home.store()
    add(store, "a")
    abandoned = list(connections._abandoned)
    monkeypatch.setattr(connections.os, "getpid", lambda: 1)
    add(store, "b")
    assert [record.id for record in store.find()] == ["b", "a"]
    monkeypatch.undo()
    store.close()
    for connection in connections._abandoned[len(abandoned) :]:
        connection.close()
    del connections._abandoned[len(abandoned) :]


# threads


def test_closing_while_others_work_harms_nobody(home: SQLiteHome) -> None:
    store, failed = home.store(), []

    def work(name: str) -> None:
        try:
            for number in range(60):
                add(store, f"{name}-{number}")
                assert store.get(f"{name}-{number}").state is State.QUEUED
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        store.close()
    assert failed == []
    assert store.counters() == {("default", State.QUEUED): 360}


def test_few_connections_are_kept(home: SQLiteHome) -> None:
    pool = Connections(str(home.path), lambda connection: None, lambda: None)
    meet = threading.Barrier(3 * READERS_KEPT)

    def read() -> None:
        with pool.reading() as connection:
            meet.wait()
            connection.execute("SELECT 1").fetchall()

    threads = [threading.Thread(target=read) for _ in range(3 * READERS_KEPT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    databases = [path for path in open_files(home.path.parent) if path == str(home.path)]
    assert len(databases) <= READERS_KEPT + 1
    pool.close()


# files that vanish


def test_a_deleted_file_is_made_again(home: SQLiteHome, tmp_path: Path) -> None:
    store = home.store()
    add(store, "a")
    for path in tmp_path.glob("jobs.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert store.find() == []
    add(store, "b")
    assert [record.id for record in home.store().find()] == ["b"]
    assert [path for path in open_files(tmp_path) if path.endswith(" (deleted)")] == []


def test_a_worker_outlives_the_deletion_of_all_files(home: SQLiteHome, tmp_path: Path) -> None:
    store = home.store()
    worker = store.join()
    assert store.elect("upkeep")
    for path in tmp_path.glob("jobs.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    add(store, "a")
    (held,) = claim(store, worker)
    assert worker.started(held)
    assert len(home.store().rescue()) == 0
    assert settle(store, worker, held, Succeeded(b"1")) == []


def test_a_replaced_file_is_noticed_by_readers_and_writers(
    home: SQLiteHome, tmp_path: Path
) -> None:
    other = SQLiteHome(tmp_path / "other")
    (tmp_path / "other").mkdir()
    add(other.store(), "new")
    other.close()
    store = home.store()
    add(store, "old")
    for name in ("jobs.db-wal", "jobs.db-shm"):
        (tmp_path / name).unlink()
    other.path.replace(home.path)
    assert [record.id for record in store.find()] == ["new"]
    add(store, "next")
    assert [record.id for record in home.store().find()] == ["next", "new"]


def test_a_reader_of_a_deleted_file_is_not_used_again(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    pool = Connections(
        str(path), lambda connection: connection.execute("CREATE TABLE t (a)"), lambda: None
    )
    with pool.reading():
        path.unlink()
        with pool.writing() as writer:
            writer.execute("INSERT INTO t VALUES (1)")
    with pool.reading() as reader:
        assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]
    assert [path for path in open_files(tmp_path) if path.endswith(" (deleted)")] == []
    pool.close()


def test_a_folder_that_vanished_is_said_and_noticed_when_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    home = SQLiteHome(tmp_path / "instance")
    store = home.store()
    add(store, "a")
    shutil.rmtree(tmp_path / "instance")
    with pytest.raises(StoreError, match=r"cannot be used: .* Make "):
        add(store, "b")
    with pytest.raises(StoreError):
        store.find()
    (tmp_path / "instance").mkdir()
    add(store, "c")
    assert [record.id for record in store.find()] == ["c"]
    home.close()


def test_closing_after_the_folder_vanished_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    home = SQLiteHome(tmp_path / "instance")
    store = home.store()
    store.join()
    add(store, "a")
    shutil.rmtree(tmp_path / "instance")
    store.close()
    home.close()
    assert open_files(tmp_path) == []


# files that are none


def test_a_folder_in_place_of_the_file_is_said(home: SQLiteHome) -> None:
    home.path.mkdir()
    with pytest.raises(StoreError) as refused:
        add(home.store(), "a")
    assert str(refused.value) == (
        f"The job store {home.path} cannot be used: unable to open database file. Make the file "
        "and its folder writable, or set BACKBURNER_URL to another file."
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"garbage" * 1000, "file is not a database"),
        (SQLITE + b"\xff" * 5000, "file is not a database"),
    ],
)
def test_a_file_that_is_no_database_is_said_and_left_alone(
    home: SQLiteHome, content: bytes, why: str
) -> None:
    home.path.write_bytes(content)
    store = home.store()
    for attempt in (lambda: add(store, "a"), store.find, store.rescue):
        with pytest.raises(StoreCorrupt) as refused:
            attempt()
        assert str(refused.value) == (
            f"The job store {home.path} is damaged or is no SQLite file ({why}). Move it aside "
            "together with its -wal and -shm files, then restart."
        )
    assert home.path.read_bytes() == content


def test_a_file_of_a_later_version_is_said_and_left_alone(home: SQLiteHome) -> None:
    add(home.store(), "a")
    home.close()
    database = sqlite3.connect(home.path)
    database.execute("PRAGMA user_version = 999")
    database.close()
    with pytest.raises(StoreError) as refused:
        add(home.store(), "b")
    assert str(refused.value).startswith(
        f"The job store has schema version 999, and this Flask-Backburner knows only {len(STEPS)}."
    )
    database = sqlite3.connect(home.path)
    assert database.execute("SELECT id FROM jobs").fetchall() == [("a",)]
    database.close()


REFUSED = """
import sys
from flask_backburner.errors import StoreError
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import add

store = SQLiteStore(sys.argv[1], "app")
try:
    add(store, "b")
except StoreError as error:
    print(error)
store.close()
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "instance"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    yield folder
    folder.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_written_is_said(read_only: Path) -> None:
    path = read_only / "jobs.db"
    assert said(REFUSED, path, before=OBEDIENT) == (
        f"The job store {path} cannot be used: [Errno 13] Permission denied: '{path}.gate'. Make "
        "its folder writable, or set BACKBURNER_URL to a file in a folder that is."
    )


def test_a_file_that_cannot_be_written_is_said(home: SQLiteHome) -> None:
    add(home.store(), "a")
    home.close()
    home.path.chmod(stat.S_IRUSR)
    assert said(REFUSED, home.path, before=OBEDIENT) == (
        f"The job store {home.path} cannot be used: attempt to write a readonly database. Make "
        "the file and its folder writable, or set BACKBURNER_URL to another file."
    )


def test_a_file_that_another_program_locks_is_said(
    home: SQLiteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    store = home.store()
    add(store, "a")
    other = sqlite3.connect(home.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match=r"is locked by another program\. Try again later"):
        add(store, "b")
    other.execute("ROLLBACK")
    other.close()
    add(store, "b")


def test_what_raises_in_a_transaction_leaves_no_trace(home: SQLiteHome) -> None:
    store = home.store()
    add(store, "a")
    with pytest.raises(StoreError, match="UNIQUE constraint failed"):
        add(store, "b", "a")
    assert [record.id for record in store.find()] == ["a"]
    assert store.counters() == {("default", State.QUEUED): 1}


def test_a_closed_store_has_nothing_open(home: SQLiteHome, tmp_path: Path) -> None:
    store = SQLiteStore(str(home.path), "app")
    add(store, "a")
    store.join()
    store.elect("upkeep")
    claim(store, store.join())
    assert open_files(tmp_path) != []
    store.close()
    assert open_files(tmp_path) == []
    assert not (tmp_path / "jobs.db-wal").exists()
