"""Berth: a worker's end of a slot, and of the nursery that forks slots."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from typing import Any

import msgspec

from ...running import RunningJob
from ...store.base import Claim
from .channel import Answer, Channel, ChannelLost, FromSlot, Interrupt, News, Order
from .letter import Letter

STATUS_BYTES = 4
LEAVING_SECONDS = 2.0
BURIAL_SECONDS = 15.0
FORKED = b"+"

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from flask_backburner.engine.local.nursery import main; sys.exit(main())"
)

Message = FromSlot | News


class BerthLost(Exception):
    """There is no process in the slot, or none that can be understood."""


class Berth:
    """The worker's ends of the sockets of one slot.

    ``work`` and ``side`` are for messages. The ``leash`` goes to the slot's guard: when it is let
    go, also by the worker's death, the guard kills the slot, and it says how the slot has ended.
    """

    def __init__(self) -> None:
        with _forking:
            pairs = [socket.socketpair() for _ in range(3)]
            self._sockets = [end for pair in pairs for end in pair]
            _kept.add(self)
        (work, _), (side, _), (self._leash, _) = pairs
        self.theirs = [end for _, end in pairs]
        side.setblocking(False)
        self._work = Channel[Any](work, FromSlot)
        self._side = Channel[News](side, News)
        # Looked up late: gevent puts a poll of its own here, which lets others run. It looks at
        # one after the other: what a job says on the side before its end is seen with its end.
        self._poll = select.poll()
        for each in (self._work, self._side, self._leash):
            self._poll.register(each, select.POLLIN)

    def hand_over(self) -> None:
        """The slot has its ends of the sockets by now."""
        for end in self.theirs:
            end.close()

    def order(self, claim: Claim) -> None:
        """Let the slot run this job. Raises ``BerthLost``."""
        self._send(Order(claim))

    def answer(self, answer: Answer) -> None:
        """Say what became of what the job committed. Raises ``BerthLost``."""
        self._send(answer)

    def _send(self, message: Order | Answer) -> None:
        try:
            self._work.send(message)
        except ChannelLost as error:
            raise BerthLost(str(error)) from error

    def interrupt(self, running: RunningJob) -> None:
        """Tell the slot that this job is to stop; callable from any thread."""
        if running.interrupt is not None:
            claim = running.claim
            with suppress(ChannelLost):  # it has ended, or does not listen and is killed later
                self._side.send(Interrupt(claim.id, claim.fence, running.interrupt.__name__))

    def wait(self, seconds: float | None = None) -> list[Message]:
        """What the slot says, in its order, as soon as it says something.

        Raises ``BerthLost`` when it has ended, or cannot be understood any more.
        """
        ready = {end for end, _ in self._poll.poll(None if seconds is None else seconds * 1000)}
        try:
            said = self._work.arrived() if self._work.fileno() in ready else []
        except ChannelLost as error:
            raise BerthLost(str(error)) from error
        if ready == {self._leash.fileno()}:
            raise BerthLost("it ended")
        return self._said_before() + said if self._side.fileno() in ready else said

    def _said_before(self) -> list[Message]:
        """What the job's other thread has told until now."""
        said: list[Message] = []
        try:
            while True:
                said += self._side.arrived()
        except BlockingIOError:
            return said
        except ChannelLost:
            # It has ended, and what it said at last is still to be read; or it cannot be told
            # anything any more, and is to end.
            self._poll.unregister(self._side)
            self.kill()
            return said

    def kill(self) -> None:
        """Let the guard kill the slot and all that it has started. Callable from any thread."""
        with suppress(OSError):
            self._leash.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Let the slot end, if need be by force, and wait until nothing is left of it."""
        self._work.end_of_sending()
        self.bury(LEAVING_SECONDS)

    def bury(self, patience: float = 0.0) -> int | None:
        """Kill the slot after so many seconds; gives back its wait status if it is known."""
        try:
            self._leash.settimeout(patience or 0.001)
            status = self._status()
            if status is None:
                self.kill()
                self._leash.settimeout(BURIAL_SECONDS)
                status = self._status()
            return status
        finally:
            self.close()

    def _status(self) -> int | None:
        try:
            data = self._leash.recv(STATUS_BYTES)
        except OSError:
            return None
        return int.from_bytes(data, "big", signed=True) if len(data) == STATUS_BYTES else None

    def close(self) -> None:
        """Let go of everything, also in a forked child. Repeatable."""
        for each in self._sockets:
            each.close()

    forget = close


class Nurse:
    """The worker's end of the nursery: a process that it starts when the first slot is wanted."""

    def __init__(self, letter: Letter) -> None:
        self._letter = msgspec.json.encode(letter)
        self._asking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        _kept.add(self)

    def bear(self) -> Berth:
        """A slot whose process has begun to load the app. Raises ``BerthLost``."""
        berth = Berth()
        try:
            with self._asking:
                self._ask(berth)
        except OSError as error:
            berth.close()
            raise BerthLost(f"no process could be started: {error}") from error
        berth.hand_over()
        return berth

    def _ask(self, berth: Berth) -> None:
        try:
            self._request(self._started(), berth)
        except ConnectionError:
            self._end()  # somebody has killed it: another can be started
            self._request(self._started(), berth)

    def _started(self) -> socket.socket:
        if self._control is None:
            with _forking:
                self._control, theirs = socket.socketpair()
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, *sys.path],
                    stdin=theirs.fileno(),
                    # Not in the terminal's group: Ctrl-C is the worker's, which then hands over.
                    start_new_session=True,
                )
            finally:
                theirs.close()
        return self._control

    def _request(self, control: socket.socket, berth: Berth) -> None:
        socket.send_fds(control, [self._letter], [end.fileno() for end in berth.theirs])
        answer = control.recv(1)
        if not answer:
            raise ConnectionResetError("the process that starts others has ended")
        if answer != FORKED:
            raise OSError("see above")

    def close(self) -> None:
        """End the nursery; the slots are not touched. Repeatable."""
        with self._asking:
            self._end()

    def _end(self) -> None:
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is not None:
            process.wait()

    def forget(self) -> None:
        """In a forked child: let go, or the nursery would not notice its worker's end."""
        self._asking = threading.Lock()
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # not this process's child: nothing to wait for
        self._control = self._process = None


_kept: weakref.WeakSet[Berth | Nurse] = weakref.WeakSet()
# Held while sockets are made, so that no fork comes before they are known.
_forking = threading.Lock()


def _after_fork_in_child() -> None:
    _forking.release()
    for each in list(_kept):
        each.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_forking.acquire,
        after_in_parent=_forking.release,
        after_in_child=_after_fork_in_child,
    )
