"""Channel: the messages between a worker and its slots, and with the nursery."""

from __future__ import annotations

import socket
import struct
from typing import Any, Generic, TypeVar, get_args

import msgspec
from msgspec import Struct

from ...record import JobFile, Line, Outcome, Progress
from ...store.claim import Claim, Report
from .letter import Letter

T = TypeVar("T")

LARGEST = 1 << 30
NUMBER = struct.Struct("!i")
_MARK = b"job:"  # what a job itself writes to the descriptor is never taken for a message
_HEAD = len(_MARK) + 4
_AT_ONCE = 1 << 14


class ChannelLost(Exception):
    """The other end is closed, or what comes from there are no messages."""


class Birth(Struct, frozen=True, tag=True):
    """To the nursery, with three sockets: fork a slot that is to load this app.

    Answered by the pid of its guard, or 0.
    """

    letter: Letter


class Death(Struct, frozen=True, tag=True):
    """To the nursery: kill a guard that does not do what it is there for. Answered by its pid."""

    guard: int


class Order(Struct, frozen=True, tag=True):
    """Run this job."""

    claim: Claim


class Answer(Struct, frozen=True, tag=True):
    """What became of a ``Commit``; ``error`` says why it could not be tried."""

    recorded: bool
    error: str | None = None


class Interrupt(Struct, frozen=True, tag=True):
    """Stop this job; ``how`` names the exception."""

    id: str
    fence: int
    how: str

    def means(self, claim: Claim) -> bool:
        return (self.id, self.fence) == (claim.id, claim.fence)


class Ready(Struct, frozen=True, tag=True):
    """The app is loaded."""


class Unloadable(Struct, frozen=True, tag=True):
    """The app cannot be loaded; the process ends."""

    reason: str


class News(Struct, frozen=True, tag=True):
    """A report, without its claim, which the worker knows."""

    progress: Progress | None = None
    lines: tuple[Line, ...] = ()
    files: tuple[JobFile, ...] = ()
    saved: tuple[tuple[str, bytes | None], ...] = ()

    @classmethod
    def of(cls, report: Report) -> News:
        return cls(report.progress, report.lines, report.files, report.saved)

    def report(self, claim: Claim) -> Report:
        return Report(claim, self.progress, self.lines, self.files, self.saved)


class Commit(Struct, frozen=True, tag=True):
    """Record this before the job goes on, and answer."""

    news: News


class Ended(Struct, frozen=True, tag=True):
    """The job is over, with its last news; a ``spent`` process takes no other."""

    kind: str
    outcome: bytes
    news: News | None
    spent: bool

    @classmethod
    def by(cls, outcome: Outcome, report: Report | None, spent: bool) -> Ended:
        news = None if report is None else News.of(report)
        return cls(type(outcome).__name__, msgspec.msgpack.encode(outcome), news, spent)

    def value(self) -> Outcome:
        """How it ended. Raises ``ChannelLost`` for what is no outcome."""
        try:
            found: Outcome = msgspec.msgpack.decode(self.outcome, type=_OUTCOMES[self.kind])
        except (KeyError, msgspec.DecodeError) as error:
            raise ChannelLost("an outcome was garbled") from error
        return found


_OUTCOMES: dict[str, Any] = {kind.__name__: kind for kind in get_args(Outcome)}

ToSlot = Order | Answer
FromSlot = Ready | Unloadable | Commit | Ended


class Channel(Generic[T]):
    """One end of a socket for messages: ``accepts`` is a union of those that may come.

    One thread may send while another receives.
    """

    def __init__(self, end: socket.socket, accepts: Any) -> None:
        self._end = end
        self._decoder = msgspec.msgpack.Decoder(accepts)
        self._encoder = msgspec.msgpack.Encoder()
        self._received = bytearray()

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: Struct) -> None:
        """Returns when the message is on its way. Raises ``ChannelLost``."""
        data = self._encoder.encode(message)
        try:
            self._end.sendall(_MARK + len(data).to_bytes(4, "big") + data)
        except OSError as error:
            raise ChannelLost(str(error)) from error

    def receive(self) -> T:
        """The next message, however long that takes. Raises ``ChannelLost``."""
        while (message := self._next()) is None:
            self._fill()
        return message

    def arrived(self) -> list[T]:
        """The whole messages of one look at a socket where something is to be read.

        Raises ``ChannelLost``, and ``BlockingIOError`` if there is nothing.
        """
        self._fill()
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _fill(self) -> None:
        try:
            data = self._end.recv(_AT_ONCE)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ChannelLost(str(error)) from error
        if not data:
            raise ChannelLost("the other end was closed")
        self._received += data

    def _next(self) -> T | None:
        received = self._received
        if not received.startswith(_MARK[: len(received)]):
            raise ChannelLost("something else wrote to the socket")
        if len(received) < _HEAD:
            return None
        end = _HEAD + int.from_bytes(received[len(_MARK) : _HEAD], "big")
        if end > LARGEST:
            raise ChannelLost("something else wrote to the socket")
        if len(received) < end:
            return None
        try:
            message: T = self._decoder.decode(received[_HEAD:end])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ChannelLost("a message was garbled") from error
        del received[:end]
        return message

    def end_of_sending(self) -> None:
        """Let the other end know that nothing more comes. Repeatable."""
        try:
            self._end.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it is gone already

    def close(self) -> None:
        self._end.close()
