"""The gate: one writer at a time, and no waiting for ever."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from flask_backburner.errors import StoreBusy
from flask_backburner.store import gate as gates
from flask_backburner.store.gate import Gate
from flask_backburner.store.locks import is_locked, open_lock
from support.programs import running
from support.stores import SQLiteHome, add

HOLDER = """
import sys
from flask_backburner.store.gate import Gate

with Gate(sys.argv[1]).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobs.db.gate")


def test_only_one_thread_is_inside(path: str) -> None:
    gate, inside, most = Gate(path), 0, 0

    def enter() -> None:
        nonlocal inside, most
        for _ in range(50):
            with gate.held():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gate.close()
    assert most == 1


def test_two_gates_of_one_path_keep_each_other_out(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "PATIENCE", 0.05)
    one, two = Gate(path), Gate(path)
    with one.held(), pytest.raises(StoreBusy):
        two.acquire()
    with two.held(), pytest.raises(StoreBusy):
        one.acquire()
    one.close()
    two.close()


def test_who_waits_too_long_is_told_by_whom_the_gate_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "PATIENCE", 0.2)
    home = SQLiteHome(tmp_path)
    store = home.store()
    add(store, "a")
    with running(HOLDER, f"{home.path}.gate") as holder:
        holder.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreBusy) as busy:
            add(store, "b")
        assert str(busy.value) == (
            f"The job store is held by process {holder.pid} for more than 0.2 s "
            f"(gate {home.path}.gate). Try again; if that process is stuck, end it."
        )
        assert [record.id for record in store.find()] == ["a"]
        holder.send_signal(signal.SIGCONT)
    add(store, "b")
    home.close()


def test_a_thread_that_waits_too_long_is_told_too(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "PATIENCE", 0.05)
    gate = Gate(path)
    with gate.held(), pytest.raises(StoreBusy, match=f"held by process {os.getpid()} "):
        gate.acquire()
    gate.close()


def test_the_death_of_its_holder_opens_the_gate(path: str) -> None:
    gate = Gate(path)
    with running(HOLDER, path) as holder:
        holder.kill()
        holder.wait()
        with gate.held():
            assert is_shut(path)
    gate.close()


def test_a_deleted_gate_is_made_again(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "PATIENCE", 0.05)
    old, new = Gate(path), Gate(path)
    with old.held():
        pass
    os.unlink(path)
    with new.held(), pytest.raises(StoreBusy):
        old.acquire()
    old.close()
    new.close()


def test_a_closed_gate_opens_again(path: str) -> None:
    gate = Gate(path)
    with gate.held():
        pass
    gate.close()
    assert descriptors(path) == 0
    with gate.held():
        assert is_shut(path)
        assert descriptors(path) == 1
    gate.close()


def is_shut(path: str) -> bool:
    """Whether nobody else could enter now."""
    fd = open_lock(path)
    try:
        return is_locked(fd)
    finally:
        os.close(fd)


def descriptors(path: str) -> int:
    """How many of this process lead to the file."""
    open_now = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.path.exists(each) and os.path.samefile(each, path) for each in open_now)
