"""What is the SQLite store's own: one file for many, and what a turn costs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from flask_backburner.record import Progress, Released, State, Succeeded
from flask_backburner.store import sqlite
from flask_backburner.store.claim import Claim, Report, Settlement
from flask_backburner.store.claims import READY_AT_ONCE
from support.programs import running, said
from support.stores import KEEPING, NOON, SQLiteHome, add, claim, job, settle

FIRST_OPEN = """
import sys
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import add

print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    store = SQLiteStore(f"{sys.argv[1]}/{number}.db", "app", durable=False)
    add(store, f"{sys.argv[2]}-{number}")
    store.close()
print("done", flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SQLiteHome]:
    home = SQLiteHome(tmp_path)
    yield home
    home.close()


def wal_size(home: SQLiteHome) -> int:
    return os.path.getsize(f"{home.path}-wal")


# one file for many


def test_namespaces_on_one_file_never_see_each_other(tmp_path: Path, home: SQLiteHome) -> None:
    other_home = SQLiteHome(tmp_path, "other")
    store, other = home.store(), other_home.store()
    add(store, "ours")
    dying = store.join()
    dying.started(claim(store, dying)[0])
    home.kill(dying)
    assert other.find() == []
    assert other.counters() == {}
    assert other.marks(["ours"]) == {}
    assert other.result("ours") is None
    assert other.workers() == []
    for ask in (other.get, other.lines, other.files, other.request_cancel, other.waiting):
        with pytest.raises(LookupError, match="There is no job 'ours'"):
            ask("ours")
    assert len(other.rescue()) == 0
    assert len(store.rescue()) == 1
    home.clock.move(1)
    other_home.clock.move(1)
    assert claim(other, other.join()) == []
    assert (store.elect("upkeep"), other.elect("upkeep")) == (True, True)
    home.clock.move(KEEPING.done)
    settle(store, worker := store.join(), claim(store, worker)[0], Succeeded(b"1"))
    other_home.clock.move(1e9)
    assert other.purge(10) == []
    assert store.get("ours").state is State.SUCCEEDED
    other_home.close()


def test_pauses_expiry_and_ids_of_ones_own_are_those_of_a_namespace(
    tmp_path: Path, home: SQLiteHome
) -> None:
    store = home.store()
    other_home = SQLiteHome(tmp_path, "other")
    other = other_home.store()
    for each in (store, other):
        add(each, f"job of {each is store}", alias="order-1", start_by=NOON + 10)
    store.pause("default", True)
    assert (store.paused(), other.paused()) == ({"default"}, frozenset())
    assert (store.named("order-1"), other.named("order-1")) == ("job of True", "job of False")
    assert claim(store, store.join()) == []
    assert [each.id for each in claim(other, other.join())] == ["job of False"]
    other_home.clock.move(10)
    assert other.rescue() == []
    with pytest.raises(LookupError):
        other.retry("job of True")
    home.clock.move(10)
    assert store.rescue() == ["job of True"]
    other_home.close()


def test_a_limit_counts_the_jobs_of_its_namespace(tmp_path: Path, home: SQLiteHome) -> None:
    other_home = SQLiteHome(tmp_path, "other")
    add(other_home.store(), "a", "b")
    home.store().add([job("c")], limit=1)
    other_home.close()


def test_sixteen_processes_open_fresh_files_at_once(tmp_path: Path) -> None:
    processes, files = 16, 40
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_OPEN, str(tmp_path), str(number), str(files)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    assert [opener.communicate() for opener in openers] == [("done\n", "")] * processes
    for number in range(files):
        database = sqlite3.connect(tmp_path / f"{number}.db")
        assert database.execute("SELECT count(*) FROM jobs").fetchall() == [(processes,)]
        assert database.execute("SELECT jobs FROM counters").fetchall() == [(processes,)]
        database.close()


# what a turn costs


def test_idle_pollers_never_write(home: SQLiteHome) -> None:
    store = home.store()
    add(store, "later", run_at=home.clock.at + 100)
    add(store, "unknown", task="tomorrow")
    add(store, "elsewhere", external=True, deadline=50.0)
    add(store, "running")
    worker = store.join()
    claim(store, worker)
    store.turn(worker, reports=[Report(Claim("elsewhere", 0, "task", "default", 1, b""))])
    watcher = sqlite3.connect(home.path)
    before = watcher.execute("PRAGMA data_version").fetchall()
    size = wal_size(home)
    for _ in range(10):
        assert claim(store, worker) == []
        assert store.elect("upkeep")
        assert len(store.rescue()) == 0
        assert store.purge(100) == []
        store.tend()
        store.counters(), store.oldest_queued(), store.workers(), store.waiting("later")
    assert watcher.execute("PRAGMA data_version").fetchall() == before
    assert wal_size(home) == size
    watcher.close()


class Statements:
    """The statements that connections ran, and how SQLite would find their rows."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def plans(self, path: Path) -> dict[str, str]:
        database = sqlite3.connect(path)
        plans = {
            sql: "; ".join(row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}"))
            for sql in self.ran
            if sql.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT")
        }
        database.close()
        return plans


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    statements, connect = Statements(), sqlite3.connect

    def traced(*args: object, **options: object) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(lambda sql: statements.ran.append(sql.strip()))
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    return statements


def test_every_step_of_a_turn_finds_its_rows_by_an_index(
    home: SQLiteHome, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = home.store()
    worker = store.join()
    add(store, "a", "b", "c")
    add(store, "d", queue="mail", run_at=home.clock.at + 1)
    statements.ran.clear()
    home.clock.move(2)
    add(store, "e")
    first, second, *_ = claim(store, worker, tasks=["task", "app.*"])
    store.request_cancel("c")
    store.turn(
        worker,
        reports=[Report(first, Progress(1, 2))],
        settled=[Settlement(first, Succeeded(b"1")), Settlement(second, Released())],
        room=1,
        tasks=["task"],
    )
    store.rescue()
    store.purge(10)
    store.get("a"), store.marks(["a", "b"]), store.lines("a"), store.result("a"), store.counters()
    ran = list(statements.ran)
    monkeypatch.undo()
    plans = statements.plans(home.path)
    assert ran
    scans = {sql: plan for sql, plan in plans.items() if "SCAN jobs" in plan}
    assert scans == {}
    by_index = {
        "ORDER BY priority DESC, seq LIMIT": "jobs_ready",
        "ready = 0 AND run_at <=": "jobs_scheduled",
        "state = 'running' AND cancel_requested = 1": "jobs_cancelling",
        "SELECT DISTINCT worker": "jobs_running",
        "heard_at + deadline <=": "jobs_deadline",
        "kept_until <=": "jobs_finished",
    }
    for part, index in by_index.items():
        found = [plan for sql, plan in plans.items() if part in " ".join(sql.split())]
        found = [plan for plan in found if "jobs" in plan]
        assert found, part
        assert all(index in plan for plan in found), (part, found)


def test_a_claim_reads_each_task_of_each_queue_in_its_order_without_sorting(
    home: SQLiteHome, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = home.store()
    add(store, "a")
    add(store, "b", queue="mail")
    worker = store.join()
    statements.ran.clear()
    assert len(claim(store, worker)) == 2
    monkeypatch.undo()
    plans = [plan for sql, plan in statements.plans(home.path).items() if "UNION ALL" in sql]
    assert plans
    for plan in plans:
        each = "SEARCH jobs USING INDEX jobs_ready (namespace=? AND queue=? AND task=?)"
        assert plan.count(each) == 2
        assert "TEMP B-TREE" not in plan


def test_any_number_of_jobs_for_others_costs_a_poll_one_look(
    home: SQLiteHome, statements: Statements
) -> None:
    store = home.store()
    worker = store.join()
    add(store, *(f"t{n}" for n in range(50)), task="tomorrow")
    add(store, *(f"m{n}" for n in range(50)), queue="mail")
    statements.ran.clear()
    assert store.turn(worker, room=1, queues=["default"], tasks=["task"]).claimed == ()
    looks = [sql for sql in statements.ran if "(queue, task) >=" in sql]
    assert len(looks) == 3  # one for each kind of jobs, one that finds no other
    assert not any("UNION" in sql or "BEGIN" in sql for sql in statements.ran)


def test_a_crowd_that_is_due_at_once_joins_the_line_in_parts(home: SQLiteHome) -> None:
    store = home.store()
    worker = store.join()
    add(store, *(f"j{n}" for n in range(READY_AT_ONCE + 5)), run_at=home.clock.at + 1)
    home.clock.move(2)
    assert len(claim(store, worker, 1)) == 1
    database = sqlite3.connect(home.path)
    left = database.execute("SELECT count(*) FROM jobs WHERE ready = 0").fetchall()
    database.close()
    assert left == [(5,)]
    assert len(claim(store, worker, 2000)) == READY_AT_ONCE + 4


# checkpoints


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints from 256 KiB on, the next try 64 KiB later."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_BYTES", 256 << 10)
    monkeypatch.setattr(sqlite, "CHECKPOINT_RETRY_BYTES", 64 << 10)


def grow(home: SQLiteHome, size: int) -> None:
    """Write jobs until the log has that many bytes."""
    store = home.store()
    number = store.counters().get(("default", State.QUEUED), 0)
    while wal_size(home) < size:
        add(store, f"j{number}")
        number += 1


@pytest.mark.usefixtures("low")
def test_a_large_log_is_checkpointed_when_the_store_is_tended(home: SQLiteHome) -> None:
    store = home.store()
    add(store, "first")
    store.tend()
    assert wal_size(home) > 0
    grow(home, 257 << 10)
    store.tend()
    assert wal_size(home) == 0
    assert store.get("first").state is State.QUEUED
    grow(home, 257 << 10)
    store.tend()
    assert wal_size(home) == 0


@pytest.mark.usefixtures("low")
def test_adding_jobs_makes_no_checkpoint(home: SQLiteHome) -> None:
    add(home.store(), "first")
    grow(home, 500 << 10)
    assert wal_size(home) >= 500 << 10


@pytest.mark.usefixtures("low")
def test_a_reader_in_the_way_of_a_checkpoint_makes_it_wait(home: SQLiteHome) -> None:
    store = home.store()
    add(store, "first")
    grow(home, 257 << 10)
    reader = sqlite3.connect(home.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM jobs").fetchall()
    add(store, "last")
    store.tend()
    blocked = wal_size(home)
    assert blocked > 257 << 10
    reader.execute("COMMIT")
    reader.close()
    store.tend()
    assert wal_size(home) == blocked
    grow(home, blocked + (65 << 10))
    store.tend()
    assert wal_size(home) == 0


def test_the_log_of_a_store_may_grow_to_sixteen_megabytes() -> None:
    assert (sqlite.CHECKPOINT_BYTES, sqlite.CHECKPOINT_RETRY_BYTES) == (16 << 20, 4 << 20)


def test_forgotten_jobs_give_their_room_back(home: SQLiteHome) -> None:
    store = home.store()
    worker = store.join()
    add(store, *(f"j{n}" for n in range(200)))
    settled = [Settlement(each, Succeeded(b"1" * 5000)) for each in claim(store, worker, 200)]
    store.turn(worker, settled=settled)
    home.clock.move(KEEPING.done)
    assert len(store.purge(200)) == 200
    database = sqlite3.connect(home.path)
    pages = "PRAGMA page_count"
    ((before,),) = database.execute(pages).fetchall()
    store.tend()
    ((after,),) = database.execute(pages).fetchall()
    assert after < before / 2
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


# processes


CLAIMER = """
import sys
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import claim

store = SQLiteStore(sys.argv[1], "app", durable=False)
worker = store.join()
print("ready", flush=True)
sys.stdin.readline()
while claimed := claim(store, worker, 3):
    print(*(f"{each.id}/{each.fence}" for each in claimed), flush=True)
sys.stdin.readline()
"""


def test_two_processes_never_claim_the_same_job(home: SQLiteHome) -> None:
    store = home.store()
    add(store, *(f"j{n}" for n in range(200)))
    with running(CLAIMER, home.path) as one, running(CLAIMER, home.path) as two:
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said_by_both = [process.communicate("\n")[0].split() for process in (one, two)]
    assert sorted(chain(*said_by_both)) == sorted(f"j{n}/1" for n in range(200))


def test_another_process_sees_a_change_at_once(home: SQLiteHome) -> None:
    store = home.store()
    add(store, "a")
    program = """
import sys
from flask_backburner.store.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1], "app")
print(store.get("a").version)
store.close()
"""
    versions = [said(program, home.path)]
    claim(store, store.join())
    versions.append(said(program, home.path))
    assert versions == ["1", "2"]
