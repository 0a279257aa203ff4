"""Messages between a worker and its slots: whole, in order, and never mistaken."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from flask_backburner.engine.local.channel import (
    Channel,
    ChannelLost,
    Commit,
    Ended,
    FromSlot,
    News,
    Ready,
)
from flask_backburner.record import (
    Cancelled,
    Crashed,
    Failed,
    Fault,
    JobFile,
    Line,
    Outcome,
    Progress,
    Released,
    ResultKind,
    Retry,
    Succeeded,
)
from flask_backburner.store.claim import Claim, Report

CLAIM = Claim("id", 1, "task", "default", 1, b"{}")
REPORT = Report(
    CLAIM,
    Progress(1, 2, "digging"),
    (Line(datetime(2026, 11, 20, tzinfo=UTC), "info", "a stone"),),
    (JobFile("stone.txt", "text/plain", 5),),
    (("value:a", b"1"), ("value:b", None)),
)


class Ends:
    """Both ends of a socket."""

    def __init__(self) -> None:
        self.sender, self.receiver = socket.socketpair()
        self.sending: Channel[Any] = Channel(self.sender, FromSlot)
        self.receiving: Channel[Any] = Channel(self.receiver, FromSlot)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.sender.close()
    ends.receiver.close()


def test_a_report_arrives_as_it_was(ends: Ends) -> None:
    ends.sending.send(Commit(News.of(REPORT)))
    message = ends.receiving.receive()
    assert isinstance(message, Commit)
    assert message.news.report(CLAIM) == REPORT


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(b"[1]", ResultKind.FILE),
        Failed(Fault("error", "no stone", public=True, traceback="line 1")),
        Retry(Fault("error", "no stone"), 2.5),
        Cancelled(),
        Crashed(),
        Released(started=False),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_an_outcome_arrives_as_it_was(ends: Ends, outcome: Outcome) -> None:
    ends.sending.send(Ended.by(outcome, REPORT, spent=True))
    message = ends.receiving.receive()
    assert isinstance(message, Ended)
    assert (message.value(), message.spent) == (outcome, True)


def test_messages_arrive_in_order_however_they_are_cut(ends: Ends) -> None:
    whole, other = socket.socketpair()
    with whole, other:
        Channel[Any](whole, FromSlot).send(Ready())
        data = other.recv(100) * 2
    found = []
    for byte in data:
        ends.sender.send(bytes([byte]))
        found += ends.receiving.arrived()
    assert found == [Ready(), Ready()]


@pytest.mark.parametrize("garbage", [b"x", b"job", b"job:\xff\xff\xff\xff", b"job:\0\0\0\2??"])
def test_what_is_no_message_is_noticed_as_soon_as_it_can_be(ends: Ends, garbage: bytes) -> None:
    ends.sender.send(garbage)
    ends.sending.send(Ready())
    with pytest.raises(ChannelLost):
        ends.receiving.receive()


def test_an_end_that_was_closed_is_noticed_on_both_sides(ends: Ends) -> None:
    ends.receiver.close()
    with pytest.raises(ChannelLost):
        ends.sending.send(Ready())
    with pytest.raises(ChannelLost):
        ends.sending.receive()


def test_a_descriptor_that_is_something_else_by_now_is_noticed(ends: Ends) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, ends.receiver.fileno())
    os.close(nothing)
    with pytest.raises(ChannelLost):
        ends.receiving.receive()
