"""Liveness: who is alive is told by locks that the kernel frees."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_backburner.clock import Clock
from flask_backburner.record import Released, State, Succeeded
from flask_backburner.store.base import WorkerInfo
from flask_backburner.store.claim import Settlement
from flask_backburner.store.liveness import SLOTS, FilePresence, Liveness
from support.programs import running
from support.stores import SQLiteHome, add, claim, job, settle
from support.waiting import until

WORKER = """
import sys
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import claim

store = SQLiteStore(sys.argv[1], "app")
worker = store.join()
store.elect("upkeep")
started, _ = claim(store, worker, 2)
worker.started(started)
print(worker.worker, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SQLiteHome]:
    home = SQLiteHome(tmp_path)
    yield home
    home.close()


@pytest.fixture
def liveness(tmp_path: Path) -> Iterator[Liveness]:
    liveness = Liveness(str(tmp_path / "live"), "app", Clock())
    yield liveness
    liveness.close()


def files(liveness: Liveness) -> list[str]:
    return sorted(os.listdir(liveness.folder))


def test_a_killed_process_is_dead_at_once_and_what_it_had_started_is_known(
    home: SQLiteHome,
) -> None:
    store = home.store()
    add(store, "a", "b")
    with running(WORKER, home.path) as worker:
        assert len(store.rescue()) == 0
        assert not store.elect("upkeep")
        assert len(store.workers()) == 1
        worker.kill()
        worker.wait()
    assert store.workers() == []
    assert store.elect("upkeep")
    assert len(store.rescue()) == 2
    assert [(store.get(id).state, store.get(id).crashes) for id in "ab"] == [
        (State.QUEUED, 1),
        (State.QUEUED, 0),
    ]


def test_a_dead_worker_leaves_no_file_after_its_rescue(liveness: Liveness) -> None:
    dying = liveness.join(1, None)
    dying.forget()
    assert list(liveness.dead()) == [(dying.worker, frozenset())]
    assert files(liveness) == []
    assert list(liveness.dead()) == []


def test_a_rescue_that_fails_is_made_again(liveness: Liveness) -> None:
    dying = liveness.join(1, None)
    dying.forget()
    found = liveness.dead()
    assert next(found) == (dying.worker, frozenset())
    found.close()
    assert [worker for worker, _ in liveness.dead()] == [dying.worker]


def test_the_file_of_another_users_worker_keeps_nobody_from_the_rest(
    liveness: Liveness, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours, living = (liveness.join(1, None) for _ in range(3))
    theirs.forget()
    ours.forget()
    really_open = os.open

    def open_ours(path: str, flags: int, mode: int = 0o777) -> int:
        if path == theirs.path:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return really_open(path, flags, mode)

    monkeypatch.setattr(os, "open", open_ours)
    found = liveness.dead()
    assert next(found) == (ours.worker, frozenset())
    with pytest.raises(PermissionError):
        next(found)
    assert files(liveness) == sorted(os.path.basename(each.path) for each in (theirs, living))


def test_a_worker_that_leaves_with_nothing_leaves_no_file(liveness: Liveness) -> None:
    worker = liveness.join(1, None)
    worker.leave()
    worker.leave()
    assert files(liveness) == []


def test_a_worker_leaves_though_its_folder_is_gone(liveness: Liveness) -> None:
    worker = liveness.join(1, None)
    shutil.rmtree(liveness.folder)
    assert liveness.workers() == []
    worker.leave()


def test_a_file_that_was_deleted_is_written_again_with_what_had_started(
    home: SQLiteHome,
) -> None:
    store = home.store()
    worker = store.join(3, ["default"])
    add(store, "a", "b")
    first, second = claim(store, worker)
    worker.started(first)
    shutil.rmtree(f"{home.path}.live")
    store.turn(worker)
    assert len(home.store().rescue()) == 0
    assert store.workers() == [WorkerInfo(worker.worker, 3, ["default"])]
    assert worker.started(second)
    home.kill(worker)
    assert len(store.rescue()) == 2
    assert [store.get(id).crashes for id in "ab"] == [1, 1]


def test_jobs_of_a_worker_without_a_file_are_rescued(home: SQLiteHome) -> None:
    store = home.store()
    add(store, "a")
    dying = store.join()
    claim(store, dying)
    home.kill(dying)
    shutil.rmtree(f"{home.path}.live")
    assert len(store.rescue()) == 1
    assert (store.get("a").state, store.get("a").crashes) == (State.QUEUED, 1)


def test_a_worker_holds_no_more_jobs_than_it_can_note(home: SQLiteHome) -> None:
    store = home.store()
    store.add([job(f"j{n}") for n in range(SLOTS + 10)], limit=2 * SLOTS)
    worker = store.join()
    held = claim(store, worker, 2 * SLOTS)
    assert len(held) == SLOTS
    assert all(worker.started(each) for each in held)
    settled = [Settlement(each, Succeeded(b"1")) for each in held]
    assert len(store.turn(worker, settled=settled, room=SLOTS, tasks=["task"]).claimed) == 0
    assert len(claim(store, worker, SLOTS)) == 10


def test_a_slot_is_used_again_without_old_blame(home: SQLiteHome) -> None:
    store = home.store()
    add(store, "a")
    worker = store.join()
    (held,) = claim(store, worker)
    worker.started(held)
    settle(store, worker, held, Released())
    claim(store, worker)
    home.kill(worker)
    store.rescue()
    assert (store.get("a").crashes, store.get("a").attempt) == (0, 1)


def test_a_role_whose_file_was_deleted_is_fought_for_again(
    liveness: Liveness, tmp_path: Path
) -> None:
    assert liveness.elect("upkeep")
    shutil.rmtree(liveness.folder)
    other = Liveness(str(tmp_path / "live"), "app", Clock())
    assert other.elect("upkeep")
    assert not liveness.elect("upkeep")
    other.close()
    assert liveness.elect("upkeep")


def test_namespaces_have_workers_and_roles_of_their_own(liveness: Liveness, tmp_path: Path) -> None:
    other = Liveness(str(tmp_path / "live"), "application", Clock())
    dying = liveness.join(1, None)
    dying.forget()
    assert list(other.dead()) == []
    assert (liveness.elect("upkeep"), other.elect("upkeep")) == (True, True)
    assert [worker for worker, _ in liveness.dead()] == [dying.worker]
    other.close()


def test_a_worker_that_is_just_joining_is_not_taken_for_dead(
    liveness: Liveness, tmp_path: Path
) -> None:
    other = Liveness(str(tmp_path / "live"), "app", Clock())
    for _ in range(50):
        worker = liveness.join(1, None)
        assert list(other.dead()) == []
        assert [info.worker for info in other.alive()] == [worker.worker]
        worker.leave()


def test_what_was_forgotten_by_a_forked_child_is_still_alive(liveness: Liveness) -> None:
    worker = liveness.join(1, None)
    assert liveness.elect("upkeep")
    pid = os.fork()
    if pid == 0:
        liveness.forget()
        os._exit(0)
    os.waitpid(pid, 0)
    assert list(liveness.dead()) == []
    assert [info.worker for info in liveness.alive()] == [worker.worker]
    assert isinstance(worker, FilePresence)


def test_two_who_ask_at_once_do_not_take_each_other_for_the_worker(
    liveness: Liveness,
) -> None:
    dying = liveness.join(1, None)
    dying.forget()
    assert liveness.alive() == []
    assert until(lambda: list(liveness.dead())) == [(dying.worker, frozenset())]
