"""Many threads of many processes at one store, judged by a checker that knows only the file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from support.programs import running
from support.stores import SQLiteHome

PROCESSES = 4
THREADS = 16
ROUNDS = 40

# Each line that it prints was acknowledged by the store: "added a", "claimed a 1",
# "settled a 1 succeeded", "cancelled a".
USER = """
import random, sys, threading
from flask_backburner.record import Cancelled, Failed, Fault, Progress, Released, Succeeded
from flask_backburner.store.claim import Report, Settlement
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import add, claim, job

path, name, threads, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = SQLiteStore(path, "app", durable=True)
spoken, failed, lock = [], [], threading.Lock()

def say(*words):
    with lock:
        spoken.append(" ".join(map(str, words)))

def outcome(chance):
    failed = Failed(Fault("error", "It broke."))
    done = [Succeeded(b"1"), Succeeded(b"null"), failed, Cancelled()]
    return chance.choice([*done, Released(), Released(started=False)])

def turn(worker, held, chance, room):
    settled = [Settlement(each, outcome(chance)) for each in held]
    reports = [Report(each, Progress(1, 2)) for each in held if chance.random() < 0.3]
    turn = store.turn(worker, settled=settled, reports=reports, room=room, tasks=["task"])
    assert not turn.refused, turn.refused
    for entry in settled:
        say("settled", entry.claim.id, entry.claim.fence, type(entry.outcome).__name__)
    for each in turn.claimed:
        say("claimed", each.id, each.fence)
        worker.started(each)
    return turn.claimed

def use(number):
    chance, worker, held = random.Random(f"{name}-{number}"), store.join(), ()
    try:
        for at in range(rounds):
            ids = [f"{name}-{number}-{at}-{n}" for n in range(chance.randint(1, 3))]
            store.add([job(id, queue=chance.choice("ab")) for id in ids], 100_000)
            for id in ids:
                say("added", id)
            if chance.random() < 0.3:
                store.request_cancel(chance.choice(ids))
            assert store.get(chance.choice(ids)).id in ids
            assert set(store.marks(ids)) == set(ids)
            assert len(store.find(limit=5)) <= 5
            if at % 10 == number % 10:
                assert len(store.rescue()) == 0
            held = turn(worker, held, chance, chance.randint(0, 4))
        turn(worker, held, chance, 0)
        worker.leave()
    except BaseException as error:
        failed.append(repr(error))

print("ready", flush=True)
sys.stdin.readline()
users = [threading.Thread(target=use, args=(number,)) for number in range(threads)]
for user in users:
    user.start()
for user in users:
    user.join()
store.close()
print("\\n".join([*spoken, *failed]), flush=True)
"""

DRAINER = """
import sys
from flask_backburner.record import Succeeded
from flask_backburner.store.claim import Settlement
from flask_backburner.store.sqlite import SQLiteStore

store = SQLiteStore(sys.argv[1], "app", durable=False)
worker, settled = store.join(), []
print("ready", flush=True)
while True:
    turn = store.turn(worker, settled=settled, room=100, tasks=["task"])
    for entry in settled:
        print("settled", entry.claim.id, entry.claim.fence, "Succeeded")
    for each in turn.claimed:
        print("claimed", each.id, each.fence)
    settled = [Settlement(each, Succeeded(b"1")) for each in turn.claimed]
    if not settled:
        break
store.close()
"""


def test_nothing_is_lost_by_many_threads_of_many_processes(tmp_path: Path) -> None:
    home = SQLiteHome(tmp_path)
    words = [*_use(home.path), *_drain(home.path)]
    assert [line for line in words if line.split()[0] not in ("added", "claimed", "settled")] == []
    _check(home.path, [line.split() for line in words])


def _use(path: Path) -> list[str]:
    words: list[str] = []
    with (
        running(USER, path, "p0", THREADS, ROUNDS) as p0,
        running(USER, path, "p1", THREADS, ROUNDS) as p1,
        running(USER, path, "p2", THREADS, ROUNDS) as p2,
        running(USER, path, "p3", THREADS, ROUNDS) as p3,
    ):
        processes = [p0, p1, p2, p3]
        assert len(processes) == PROCESSES
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            words += process.communicate(timeout=60)[0].splitlines()
    return words


def _drain(path: Path) -> list[str]:
    with running(DRAINER, path) as drainer:
        return drainer.communicate(timeout=60)[0].splitlines()


def _check(path: Path, words: list[list[str]]) -> None:
    """What must be so, whatever happened; from the file and what was acknowledged alone."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT id, queue, state, fence FROM jobs").fetchall()
    added = [each[1] for each in words if each[0] == "added"]
    assert len(added) >= PROCESSES * THREADS * ROUNDS
    assert sorted(added) == sorted(id for id, *_ in rows)

    claims = [(each[1], int(each[2])) for each in words if each[0] == "claimed"]
    assert len(claims) == len(set(claims)), "a job was claimed twice under one fence"
    fences = Counter(id for id, _ in claims)
    assert {id: fence for id, _, _, fence in rows if fence} == dict(fences)

    ends = Counter(each[1] for each in words if each[0] == "settled" and each[3] != "Released")
    assert max(ends.values()) == 1, "a job ended twice"
    states = {id: state for id, _, state, _ in rows}
    assert set(states.values()) <= {"succeeded", "failed", "cancelled"}, "not all are over"
    expected = {"Succeeded": "succeeded", "Failed": "failed", "Cancelled": "cancelled"}
    for each in words:
        if each[0] == "settled" and each[3] != "Released":
            assert states[each[1]] == expected[each[3]]

    counted = Counter((queue, state) for _, queue, state, _ in rows)
    counters = database.execute("SELECT queue, state, jobs FROM counters").fetchall()
    assert {(queue, state): jobs for queue, state, jobs in counters if jobs} == dict(counted)
    orphans = "SELECT count(*) FROM results WHERE seq NOT IN (SELECT seq FROM jobs)"
    assert database.execute(orphans).fetchall() == [(0,)]
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
