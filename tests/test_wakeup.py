"""Wake-up: a bell rings at once, from threads, processes and signals; without it polling serves."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_backburner.engine.local.wakeup import Bell, Caller, runtime_folder
from support.waiting import until

LONG = 60.0  # a wait that lasts so long was not woken


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # Not in the test's own folder, whose path may be too long for sockets.
    name = f"/tmp/bells-{os.getpid()}-{time.monotonic_ns()}"
    yield name
    for left in Path(name).glob("*"):
        left.unlink()
    os.rmdir(name)


@pytest.fixture
def bell(folder: str) -> Iterator[Bell]:
    bell = Bell(folder)
    yield bell
    bell.close()


@pytest.fixture
def caller(folder: str) -> Iterator[Caller]:
    caller = Caller(folder)
    yield caller
    caller.close()


def waited(bell: Bell, seconds: float = LONG) -> float:
    before = time.monotonic()
    bell.wait(seconds)
    return time.monotonic() - before


def test_a_bell_rung_before_the_wait_is_heard(bell: Bell) -> None:
    bell.ring()
    assert waited(bell) < LONG
    bell.ring()
    assert waited(bell) < LONG


def test_a_bell_that_nobody_rings_lets_the_wait_end(bell: Bell) -> None:
    assert 0.01 <= waited(bell, 0.01) < LONG


def test_no_ring_of_many_threads_is_lost(bell: Bell) -> None:
    """Each event is followed by a ring; a waiter that looks after each wait sees all of them."""
    events: list[int] = []

    def happen() -> None:
        for number in range(2000):
            events.append(number)
            bell.ring()

    threads = [threading.Thread(target=happen) for _ in range(4)]
    for thread in threads:
        thread.start()
    longest = 0.0
    while len(events) < 8000:
        longest = max(longest, waited(bell))
    for thread in threads:
        thread.join()
    assert longest < LONG


def test_a_signals_handler_may_ring_again_and_again(bell: Bell) -> None:
    heard: list[int] = []

    def handle(number: int, frame: object) -> None:
        heard.append(number)
        bell.ring()

    before = signal.signal(signal.SIGUSR1, handle)
    main = threading.get_ident()
    send = threading.Thread(target=lambda: signal.pthread_kill(main, signal.SIGUSR1))
    send.start()
    until(lambda: waited(bell, 0.5) and heard)
    send.join()
    signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


def test_new_jobs_wake_as_many_idle_workers_as_there_are_jobs(folder: str, caller: Caller) -> None:
    bells = [Bell(folder) for _ in range(3)]
    for bell in bells[:2]:
        bell.show(idle=True)
    caller.call_idle(1)
    assert sorted(_rung(bell) for bell in bells) == [False, False, True]
    caller.call_idle(5)
    assert [_rung(bell) for bell in bells] == [True, True, False]
    caller.call_all()
    assert [_rung(bell) for bell in bells] == [True, True, True]
    for bell in bells:
        bell.close()


def _rung(bell: Bell) -> bool:
    return bell.wait(0.0)


def test_showing_the_same_again_is_no_news(bell: Bell) -> None:
    assert [bell.show(idle=True), bell.show(idle=True), bell.show(idle=False)] == [
        True,
        False,
        True,
    ]


def test_the_socket_of_a_killed_worker_is_swept_away_and_the_next_is_woken(
    folder: str, bell: Bell, caller: Caller
) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(os.path.join(folder, "0-dead.idle"))
    dead.close()
    bell.show(idle=True)
    caller.call_idle(1)
    assert _rung(bell)
    caller.call_all()
    assert not Path(folder, "0-dead.idle").exists()


def test_a_path_too_long_for_a_socket_leaves_polling(tmp_path: Path) -> None:
    folder = str(tmp_path / ("long" * 40))
    bell, caller = Bell(folder), Caller(folder)
    caller.call_all()
    assert waited(bell, 0.01) >= 0.01
    assert bell.show(idle=True) is False
    bell.ring()
    assert waited(bell) < LONG
    bell.close()
    caller.close()


def test_a_folder_that_was_swept_away_leaves_polling(folder: str, bell: Bell) -> None:
    for socket_file in Path(folder).iterdir():
        socket_file.unlink()
    bell.show(idle=True)
    assert waited(bell, 0.01) >= 0.01


def test_a_folder_of_somebody_else_is_not_used(folder: str) -> None:
    os.makedirs(folder)
    os.chown(folder, 12345, 12345)
    bell = Bell(os.path.join(folder, "key"))
    assert bell.show(idle=True) is False
    bell.close()
    assert os.listdir(os.path.join(folder, "key")) == []
    os.rmdir(os.path.join(folder, "key"))


def test_closing_is_repeatable_and_leaves_no_socket(folder: str) -> None:
    bell, caller = Bell(folder), Caller(folder)
    caller.call_all()
    for _ in range(2):
        caller.close()
        bell.close()
    bell.ring()
    caller.call_all()
    caller.close()
    assert os.listdir(folder) == []


def test_a_forked_child_does_not_keep_a_bell_hanging(folder: str, caller: Caller) -> None:
    """Its copy of the socket would swallow calls after the worker's death."""
    bell = Bell(folder)
    bell.show(idle=True)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        theirs.send(b"forked")
        theirs.recv(1)
        os._exit(0)
    assert ours.recv(6) == b"forked"
    path = os.path.join(folder, os.listdir(folder)[0])
    bell.forget()
    caller.call_idle(1)
    assert not os.path.exists(path)
    ours.send(b".")
    assert os.waitpid(child, 0) == (child, 0)
    ours.close()
    theirs.close()


def test_the_end_of_a_watched_pipe_is_told_once(bell: Bell) -> None:
    told: list[str] = []
    end, other = os.pipe()
    bell.watch(end, lambda: told.append("ended"))
    os.write(other, b"anything")
    bell.wait(LONG)
    assert told == []
    os.close(other)
    bell.wait(LONG)
    assert waited(bell, 0.01) >= 0.01
    assert told == ["ended"]
    os.close(end)


def test_stores_and_names_have_folders_of_their_own() -> None:
    folders = {
        runtime_folder("/a.db", "x"),
        runtime_folder("/b.db", "x"),
        runtime_folder("/a.db", "y"),
    }
    assert len(folders) == 3
    assert all(folder is not None and len(folder) < 80 for folder in folders)
