"""Durability: what is acknowledged was synced before, one sync for many."""

from __future__ import annotations

import errno
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from flask_backburner.errors import StoreError
from flask_backburner.record import State, Succeeded
from flask_backburner.store import durability
from flask_backburner.store.claim import Settlement
from flask_backburner.store.durability import LogSync
from support.programs import said
from support.stores import SQLiteHome, add, claim
from support.waiting import until

ACKNOWLEDGING = """
import os, sys
from flask_backburner.record import Succeeded
from flask_backburner.store.sqlite import SQLiteStore
from support.stores import add, claim, settle

store = SQLiteStore(sys.argv[1], "app", durable=sys.argv[2] == "full")
worker = store.join()
for n in range(3):
    add(store, f"j{n}")
    os.write(1, b"acknowledged add\\n")
for held in claim(store, worker):
    settle(store, worker, held, Succeeded(b"1"))
    os.write(1, b"acknowledged settle\\n")
add(store, "late")
os.write(1, b"acknowledged add\\n")
store.request_cancel("late")
os.write(1, b"acknowledged cancel\\n")
os._exit(0)
"""
CALL = re.compile(r"(pwrite64|fdatasync|write)\((\d+)<([^>]*)>(.*)")


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors that were synced."""
    done: list[int] = []
    monkeypatch.setattr(durability, "_sync", done.append)
    return done


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogSync]:
    (tmp_path / "jobs.db-wal").write_bytes(b"")
    log = LogSync(str(tmp_path / "jobs.db"))
    yield log
    log.close()


def traced(tmp_path: Path, durability: str) -> list[str]:
    """What a program did, in order: ``write``, ``sync`` of the log, ``acknowledge``."""
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-e", "trace=pwrite64,fdatasync,write", "-o", str(trace)]
    assert shutil.which("strace"), "strace is missing: make test-deps"
    said(ACKNOWLEDGING, tmp_path / "jobs.db", durability, before=strace)
    calls = [CALL.search(line) for line in trace.read_text().splitlines()]
    return [deed for call in calls if call for deed in _deeds(*call.groups())]


def _deeds(call: str, descriptor: str, path: str, rest: str) -> Iterator[str]:
    if path.endswith("jobs.db-wal"):
        yield {"pwrite64": "write", "fdatasync": "sync"}[call]
    if call == "write" and descriptor == "1" and "acknowledged" in rest:
        yield "acknowledge"


def test_every_acknowledgement_comes_after_the_sync_of_its_write(tmp_path: Path) -> None:
    deeds = traced(tmp_path, "full")
    assert deeds.count("acknowledge") == 8
    written = False
    for before, deed in pairwise(deeds):
        written = written or deed == "write"
        if deed == "acknowledge":
            assert (written, before) == (True, "sync")
            written = False


def test_without_durability_nobody_waits_for_the_device(tmp_path: Path) -> None:
    deeds = traced(tmp_path, "normal")
    assert deeds.count("acknowledge") == 8
    assert "sync" not in deeds[deeds.index("acknowledge") :]


def test_one_sync_serves_all_who_committed_before_it(
    log: LogSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, go_on = threading.Event(), threading.Event()
    done: list[int] = []

    def slow_sync(descriptor: int) -> None:
        syncing.set()
        assert go_on.wait(60)
        done.append(descriptor)

    monkeypatch.setattr(durability, "_sync", slow_sync)
    threads = [threading.Thread(target=log.sync) for _ in range(9)]
    threads[0].start()
    assert syncing.wait(60)
    for thread in threads[1:]:
        thread.start()
    until(lambda: log._issued == 9, what="all nine to ask")
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(done) == 2


def test_a_new_log_is_synced_through_a_new_descriptor(
    log: LogSync, tmp_path: Path, syncs: list[int]
) -> None:
    log.sync()
    log.sync()
    first, again = syncs
    assert first == again
    (tmp_path / "new").write_bytes(b"")
    (tmp_path / "new").replace(log.path)
    log.sync()
    assert log._file == durability.identity(log.path)
    assert len(syncs) == 3


def test_a_log_that_was_checkpointed_away_needs_no_sync(
    log: LogSync, tmp_path: Path, syncs: list[int]
) -> None:
    (tmp_path / "jobs.db-wal").unlink()
    log.sync()
    assert syncs == []


def fail_once(then: Callable[[int], None]) -> Callable[[int], None]:
    failures = [OSError(errno.EIO, "Input/output error")]

    def sync(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        then(descriptor)

    return sync


def test_a_sync_that_fails_is_no_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = SQLiteHome(tmp_path, durable=True)
    store = home.store()
    monkeypatch.setattr(durability, "_sync", fail_once(durability._sync))
    with pytest.raises(StoreError, match=r"cannot be used: .*Input/output error"):
        add(store, "a")
    add(store, "b")
    home.close()


def test_claims_of_a_turn_whose_sync_failed_come_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = SQLiteHome(tmp_path, durable=True)
    store = home.store()
    add(store, "a", "b")
    worker = store.join()
    (held,) = claim(store, worker, 1)
    settled = [Settlement(held, Succeeded(b"1"))]
    monkeypatch.setattr(durability, "_sync", fail_once(durability._sync))
    with pytest.raises(StoreError):
        store.turn(worker, settled=settled, room=1, tasks=["task"])
    turn = store.turn(worker, settled=settled, room=0)
    assert ([each.id for each in turn.claimed], turn.refused) == (["b"], (held,))
    assert store.get("a").state is State.SUCCEEDED
    home.close()
