"""Monsters: jobs that are hard to kill, or that do to their process what nobody expects.

Each is a function that takes what it needs from the standard library alone. What it starts notes
itself in the journal as a ``spawn``, so that the scenario can look whether it is gone.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from chaos.journal import note

Monster = Callable[[], object]
LIMIT = 2.0
"""So many seconds those may take that do not end by themselves."""
AGE = 3600
_LAST_DESCRIPTOR = 64


def _spawned(pid: int) -> None:
    note("spawn", word=str(pid))


def _sleeper(*, start_new_session: bool = False) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(["sleep", str(AGE)], start_new_session=start_new_session)
    _spawned(child.pid)
    return child


# Those that do not end by themselves: their limit does.


def sleeps() -> None:
    time.sleep(AGE)


def computes() -> None:
    while True:
        sum(range(1000))


def ignores_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(AGE)


def blocks_all_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(AGE)


def catches_everything() -> None:
    while True:
        try:
            time.sleep(AGE)
        except BaseException as error:
            note("caught", word=type(error).__name__)


def never_cleans_up() -> None:
    try:
        time.sleep(AGE)
    finally:
        time.sleep(AGE)


def waits_for_itself() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def sleeps_in_c_with_the_gil() -> None:
    ctypes.PyDLL(None).sleep(AGE)


def backtracks() -> None:
    re.match(r"(a|a)+$", "a" * 64 + "b")


def stops_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(AGE)


def stops_its_parent() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    ignores_sigterm()


def waits_for_a_child() -> None:
    _sleeper().wait()


def waits_for_a_shell() -> None:
    os.system(f"sleep {AGE}")


def waits_for_a_child_of_its_own_session() -> None:
    _sleeper(start_new_session=True)
    ignores_sigterm()


def waits_for_a_fork() -> None:
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(AGE)
    _spawned(pid)
    os.waitpid(pid, 0)


def waits_for_threads() -> None:
    threads = [threading.Thread(target=computes) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def writes_where_nobody_reads() -> None:
    _, end = os.pipe()
    while True:
        os.write(end, bytes(1 << 16))


def multiplies() -> None:
    """A fork bomb of 2⁴ processes, each in a session of its own."""
    for _ in range(4):
        if not os.fork():
            os.setsid()
            _spawned(os.getpid())
    ignores_sigterm()


# Those that end the process which runs them.


def exits_at_once() -> None:
    os._exit(3)


def reads_at_nowhere() -> None:
    ctypes.string_at(0)


def aborts() -> None:
    os.abort()


def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kills_its_group() -> None:
    _sleeper()
    os.killpg(0, signal.SIGKILL)


def kills_its_parent() -> None:
    _sleeper(start_new_session=True)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(AGE)


def closes_every_descriptor() -> None:
    os.closerange(3, _LAST_DESCRIPTOR)
    time.sleep(AGE)


def writes_to_every_descriptor() -> None:
    for descriptor in range(3, _LAST_DESCRIPTOR):
        try:
            os.write(descriptor, b"What is this?\n")
        except OSError:
            continue
    time.sleep(AGE)


def becomes_another_program() -> NoReturn:
    os.execvp("sleep", ["sleep", str(AGE)])


def sets_an_alarm() -> None:
    signal.alarm(1)
    time.sleep(AGE)


def uses_up_its_processor_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
    computes()


def leaves_a_fork_behind() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    _spawned(os.getpid())
    time.sleep(AGE)


# Those that fail.


def leaves() -> None:
    sys.exit(1)


def is_interrupted() -> None:
    raise KeyboardInterrupt


def asks_itself_for_ever() -> None:
    asks_itself_for_ever()


def wants_all_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 << 20))


def wants_all_memory_in_small_pieces() -> None:
    hoard: list[object] = []
    while True:
        hoard.append([hoard])


def has_no_words() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise self

    raise Unspeakable


def takes_its_descriptors_away() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    os.open(os.devnull, os.O_RDONLY)


def loses_its_folder() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    shutil.rmtree(folder)
    os.getcwd()


# Those that succeed, and leave their process as nobody else would want to have it.


def prints_without_end() -> None:
    for _ in range(20):
        print("x" * (100 << 10))


def hangs_at_exit() -> None:
    atexit.register(time.sleep, AGE)


def leaves_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(AGE,)).start()


def leaves_a_child() -> None:
    _sleeper(start_new_session=True)


def leaves_a_daemon() -> None:
    if not os.fork():
        os.setsid()
        if not os.fork():
            _spawned(os.getpid())
            time.sleep(AGE)
        os._exit(0)


def leaves_an_alarm() -> None:
    signal.alarm(2)


def leaves_signals_blocked() -> None:
    blocked = {signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM}
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)


def leaves_its_streams_elsewhere() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    sys.stdout = sys.stderr = sys.stdin = None


def tells_itself_to_end() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.kill(os.getpid(), number)


def returns_twice() -> None:
    pid = os.fork()
    if pid:
        _spawned(pid)
        os.waitpid(pid, 0)


def stops_its_parent_and_is_done() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)


def _named(*monsters: Monster) -> dict[str, Monster]:
    return {monster.__name__: monster for monster in monsters}


OUTLASTING = _named(
    sleeps,
    computes,
    ignores_sigterm,
    blocks_all_signals,
    catches_everything,
    never_cleans_up,
    waits_for_itself,
    sleeps_in_c_with_the_gil,
    backtracks,
    stops_itself,
    stops_its_parent,
    waits_for_a_child,
    waits_for_a_shell,
    waits_for_a_child_of_its_own_session,
    waits_for_a_fork,
    waits_for_threads,
    writes_where_nobody_reads,
    multiplies,
)
DYING = _named(
    exits_at_once,
    reads_at_nowhere,
    aborts,
    kills_itself,
    kills_its_group,
    kills_its_parent,
    closes_every_descriptor,
    writes_to_every_descriptor,
    becomes_another_program,
    sets_an_alarm,
    uses_up_its_processor_time,
    leaves_a_fork_behind,
)
FAILING = _named(
    leaves,
    is_interrupted,
    asks_itself_for_ever,
    wants_all_memory,
    wants_all_memory_in_small_pieces,
    has_no_words,
    takes_its_descriptors_away,
    loses_its_folder,
)
SURVIVING = _named(
    prints_without_end,
    hangs_at_exit,
    leaves_a_thread,
    leaves_an_alarm,
    leaves_signals_blocked,
    leaves_its_streams_elsewhere,
    tells_itself_to_end,
    returns_twice,
    stops_its_parent_and_is_done,
    # The last ones: after them no monster ends the process that they have run in.
    leaves_a_child,
    leaves_a_daemon,
)
MONSTERS = OUTLASTING | DYING | FAILING | SURVIVING
