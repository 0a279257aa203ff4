"""Nursery: a process with nothing but imports, which forks the slots of a worker on request.

It has one thread only, so that a fork finds no lock held, and has not loaded the app, so that no
connection is shared.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from contextlib import ExitStack, suppress

import msgspec

from .channel import NUMBER, Birth, Death
from .guard import keep_guard
from .kinship import ChildAlarm, adopt_orphans, kill_children, reap
from .letter import Letter

LARGEST_REQUEST = 1 << 16
SOCKETS = 3
GUARDS_SECONDS = 3.0
"""So long guards may take to kill their slots once the worker is gone."""


def main() -> int:
    """Serve the worker until it closes the control socket, which is the standard input."""
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    adopt_orphans()
    gc.freeze()  # or each child's first collection would copy all that it shares with this one
    return Nursery(control).serve()


class Nursery:
    """Forks guards, which fork the slots; kills what a guard that was killed has left."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._alarm = ChildAlarm()
        self._guards: frozenset[int] = frozenset()

    def serve(self) -> int:
        """Until the worker is gone; then nothing stays."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._alarm, selectors.EVENT_READ)
            while self._look(selector):
                pass
            selector.unregister(self._control)
            deadline = time.monotonic() + GUARDS_SECONDS
            while self._guards and (left := deadline - time.monotonic()) > 0:
                self._look(selector, left)
        kill_children()
        self._alarm.close()
        return 0

    def _look(self, selector: selectors.BaseSelector, seconds: float | None = None) -> bool:
        """Do what comes next; false if the worker is gone."""
        ready = {key.fileobj for key, _ in selector.select(seconds)}
        if self._alarm in ready:
            self._alarm.silence()
            self._mourn()
        return self._control not in ready or self._answer()

    def _mourn(self) -> None:
        ended = reap()
        self._guards -= ended.keys()
        if any(ended.values()):
            kill_children(self._guards)

    def _answer(self) -> bool:
        """Do what the next request says; false if the worker is gone."""
        try:
            data, ends, _, _ = socket.recv_fds(self._control, LARGEST_REQUEST, SOCKETS)
            if not data:
                return False
            request = msgspec.json.decode(data, type=Birth | Death)
            guard = self._kill(request) if isinstance(request, Death) else self._fork(request, ends)
            self._control.sendall(NUMBER.pack(guard))
        except ConnectionError:
            return False
        return True

    def _kill(self, death: Death) -> int:
        if death.guard in self._guards:
            os.kill(death.guard, signal.SIGKILL)
        return death.guard

    def _fork(self, birth: Birth, ends: list[int]) -> int:
        with ExitStack() as parents:
            sockets = [parents.enter_context(socket.socket(fileno=end)) for end in ends]
            for each in sockets:
                each.set_inheritable(False)  # not by another program that a job becomes or starts
            try:
                guard = os.fork()
            except OSError as error:
                print(f"No process for a job can be started: {error}", file=sys.stderr)
                return 0
            if not guard:
                self._be_guard(birth.letter, sockets)
        self._guards |= {guard}
        return guard

    def _be_guard(self, letter: Letter, sockets: list[socket.socket]) -> None:
        """In the guard, and in the slot that it forks; neither returns."""
        status = 1
        try:
            self._control.close()
            self._alarm.close()
            keep_guard(letter, *sockets)
            status = 0
        except BaseException as error:
            traceback.print_exception(error)
        finally:
            _leave(status)


def _leave(status: int) -> None:
    """End without waiting for threads or for what was registered with ``atexit``."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # a job may have closed or replaced it
            stream.flush()
    os._exit(status)
