"""Guard: the process beside each slot that ends whatever the slot leaves behind."""

from __future__ import annotations

import os
import selectors
import signal
import socket

from .channel import NUMBER
from .kinship import ChildAlarm, adopt_orphans, die_with, kill_children, kill_group, reap
from .letter import Letter
from .slot import live


def keep_guard(
    letter: Letter, work: socket.socket, side: socket.socket, leash: socket.socket
) -> None:
    """Fork a slot, in a session of its own, and stay until it has ended; returns in both.

    When the other end of the leash is closed the slot is killed. Either way all its descendants
    are killed too, and then its wait status goes up the leash.
    """
    adopt_orphans()
    alarm = ChildAlarm()
    guard = os.getpid()
    slot = os.fork()
    if not slot:
        die_with(guard)
        leash.close()
        alarm.close()
        os.setsid()
        live(letter, work, side)
        return
    work.close()
    side.close()
    _report(leash, _end_of(slot, leash, alarm))
    alarm.close()


def _end_of(slot: int, leash: socket.socket, alarm: ChildAlarm) -> int:
    with selectors.DefaultSelector() as selector:
        selector.register(leash, selectors.EVENT_READ)
        selector.register(alarm, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if alarm in ready:
                alarm.silence()
            ended = reap()
            if slot in ended:
                break
            if leash in ready:
                os.kill(slot, signal.SIGKILL)
                ended = dict([os.waitpid(slot, 0)])
                break
    kill_group(slot)
    kill_children()
    return ended[slot]


def _report(leash: socket.socket, status: int) -> None:
    try:
        leash.sendall(NUMBER.pack(status))
    except OSError:
        return  # the worker is gone
