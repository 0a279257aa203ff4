"""Berth: a worker's end of a slot, and of the nursery that forks slots."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ...running import RunningJob
from ...store.claim import Claim
from .channel import (
    NUMBER,
    Answer,
    Birth,
    Channel,
    ChannelLost,
    Death,
    FromSlot,
    Interrupt,
    News,
    Order,
)
from .letter import Letter

BURIAL_SECONDS = 2.0
BOOT_SECONDS = 60.0
ANSWER_SECONDS = 15.0
"""A nursery that does not answer for so long hangs; it may take some for killing processes."""

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
        self.guard = 0
        self._killed_at = 0.0
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

    def is_lost(self) -> bool:
        """Whether the slot, which has no job, is gone or says what it should not."""
        return bool(self._poll.poll(0))

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
        self._killed_at = self._killed_at or time.monotonic()
        with suppress(OSError):
            self._leash.shutdown(socket.SHUT_WR)

    @property
    def killed_for(self) -> float:
        """How many seconds ago that was first asked for; 0 if it was not."""
        return time.monotonic() - self._killed_at if self._killed_at else 0.0

    def end(self, patience: float) -> int | None:
        """Let the slot end, after so many seconds by force, and wait until nothing is left of it.

        Gives back its wait status; ``None`` if its guard says nothing.
        """
        try:
            self._work.end_of_sending()
            status = self._status(patience)
            if status is None:
                self.kill()
                status = self._status(BURIAL_SECONDS)
            return status
        finally:
            self.close()

    def _status(self, patience: float) -> int | None:
        try:
            self._leash.settimeout(patience)
            data = self._leash.recv(NUMBER.size)
        except OSError:
            return None
        return NUMBER.unpack(data)[0] if len(data) == NUMBER.size else None

    def close(self) -> None:
        """Let go of everything, also in a forked child. Repeatable."""
        for each in self._sockets:
            each.close()

    forget = close


class Nurse:
    """The worker's end of the nursery: a process that it starts when the first slot is wanted."""

    def __init__(self, letter: Letter) -> None:
        self._birth = msgspec.json.encode(Birth(letter))
        self._asking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        _kept.add(self)

    def bear(self) -> Berth:
        """A slot whose process has begun to load the app. Raises ``BerthLost``."""
        berth = Berth()
        try:
            with self._asking:
                berth.guard = self._ask(berth)
            if not berth.guard:
                raise OSError("the system refused another process")
        except OSError as error:
            berth.close()
            raise BerthLost(f"no process could be started: {error}") from error
        berth.hand_over()
        return berth

    def _ask(self, berth: Berth) -> int:
        try:
            return self._request(self._started(), self._birth, berth.theirs)
        except ConnectionError:  # somebody has killed it: another can be started
            return self._request(self._started(), self._birth, berth.theirs)

    def _started(self) -> socket.socket:
        if self._control is None:
            with _forking:
                self._control, theirs = socket.socketpair()
            self._control.settimeout(BOOT_SECONDS)
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

    def _request(
        self, control: socket.socket, request: bytes, ends: Sequence[socket.socket]
    ) -> int:
        try:
            socket.send_fds(control, [request], [end.fileno() for end in ends])
            answer = control.recv(NUMBER.size)
            if len(answer) != NUMBER.size:
                raise ConnectionResetError("the process that starts others has ended")
        except (ConnectionError, TimeoutError):
            self._end(0.0)  # a late answer would be taken for that to the next request
            raise
        control.settimeout(ANSWER_SECONDS)
        guard: int = NUMBER.unpack(answer)[0]
        return guard

    def kill_guard(self, berth: Berth) -> None:
        """Kill a guard that does not kill its slot; the slot dies with it."""
        request = msgspec.json.encode(Death(berth.guard))
        with self._asking, suppress(OSError):
            if self._control is not None:
                self._request(self._control, request, ())

    def close(self) -> None:
        """End the nursery; the slots are not touched. Repeatable."""
        with self._asking:
            self._end(ANSWER_SECONDS)

    def _end(self, patience: float) -> None:
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
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
