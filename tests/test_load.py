"""Many threads of many processes start, cancel and read jobs while workers run them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from apps.workshop import FOLDER, opened

from flask_backburner.installation import Installation
from support.programs import running
from support.servers import Servers
from support.waiting import until

PROCESSES = 4
THREADS = 16
ROUNDS = 40

# Each id that it prints was acknowledged.
USER = """
import sys, threading
from apps.workshop import add, create_app

app = create_app(BACKBURNER_WORKER="external")
acknowledged, failed = [], []

def use(number):
    try:
        with app.app_context():
            for at in range(int(sys.argv[1])):
                job = add.delay(number, at)
                acknowledged.append(job.id)
                if at % 4 == 0:
                    job.cancel()
                seen = [job.refresh().version for _ in range(3)]
                assert seen == sorted(seen), seen
                assert job.state != "succeeded" or job.result == number + at
    except BaseException as error:
        failed.append(error)
        raise

print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=use, args=(number,)) for number in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed
print(" ".join(acknowledged))
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with opened() as installation:
        yield installation


def test_every_job_that_many_start_cancel_and_read_ends_and_is_counted(
    shop: Installation, serve: Servers, tmp_path: Path
) -> None:
    for _ in range(2):
        serve.worker(tmp_path, "apps.workshop:app")
    with ExitStack() as stack:
        users = [stack.enter_context(running(USER, ROUNDS, THREADS)) for _ in range(PROCESSES)]
        for user in users:
            assert user.stdin
            user.stdin.write("go\n")
            user.stdin.flush()
        ids = [id for user in users for id in _last_line(user.stdout).split()]
        assert [user.wait() for user in users] == [0] * PROCESSES
    assert len(set(ids)) == PROCESSES * THREADS * ROUNDS
    until(lambda: _states(shop, "queued", "running") == 0, 60.0, what="the end of all jobs")
    _check(shop.settings.path, ids)


def _last_line(lines: Iterator[str] | None) -> str:
    assert lines is not None
    return next(iter(lines))


def _states(shop: Installation, *states: str) -> int:
    return sum(jobs for (_, state), jobs in shop.store.counters().items() if state in states)


def _check(path: str, ids: list[str]) -> None:
    """Judge the file with SQL of its own."""
    database = sqlite3.connect(path)
    rows = database.execute(
        "SELECT id, state, attempt, fence, crashes, cancel_requested FROM jobs"
    ).fetchall()
    counted = dict(database.execute("SELECT state, sum(jobs) FROM counters GROUP BY state"))
    sound = database.execute("PRAGMA integrity_check").fetchall()
    database.close()
    assert sorted(row[0] for row in rows) == sorted(ids)
    for id, state, attempt, fence, crashes, cancel_requested in rows:
        assert state == "succeeded" or (state == "cancelled" and cancel_requested), (id, state)
        # Run once, or never: what was claimed and handed back unbegun takes its attempt back.
        assert attempt <= 1, (id, attempt, fence)
        assert crashes == 0, id
    by_state = {state: sum(row[1] == state for row in rows) for state in ("succeeded", "cancelled")}
    assert {state: jobs for state, jobs in counted.items() if jobs} == by_state
    assert sound == [("ok",)]
