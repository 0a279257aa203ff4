"""The lines to the store and to the broker are cut, or go dead, while jobs run and are started."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from chaos import stage
from chaos.celery_scene import RESUMED, CeleryScene
from support.servers import Served
from support.tcp_proxy import TcpProxy

ROUNDS = 24
SHORT = 1
SCENE = CeleryScene
DEFECTS = {"announced_once": "finished"}
JOBS = 40
SECONDS = 0.05
SIZE = 2
EVERY = 1 << 30
FAULT_SECONDS = 2.5
"""So long a fault lasts: workers show themselves every two seconds."""


def play(scene: CeleryScene, rounds: int) -> None:
    """Work is to go on by itself soon after a line is whole again.

    Redis is the broker in the first half of the rounds, RabbitMQ in the others.
    """
    scene.patient = True
    lines = {"store": scene.proxied_store(), "broker": scene.proxied_redis()}
    half = rounds - rounds // 2
    rests = _rests(scene, lines, range(half))
    if rounds > half:
        lines["broker"] = scene.proxied_rabbit()
        rests += _rests(scene, lines, range(half, rounds))
    slowest: dict[str, float] = {}
    for name, seconds in rests:
        slowest[name] = max(seconds, slowest.get(name, 0.0))
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in slowest.items())
    scene.done = f"{rounds} faults of the lines to the store, and to Redis or RabbitMQ as broker"
    scene.found = f"all jobs had ended so long after a line was whole again, at most: {told}"


def _rests(
    scene: CeleryScene, lines: Mapping[str, TcpProxy], numbers: range
) -> list[tuple[str, float]]:
    """The faults of these numbers, and how many seconds all jobs took after each."""
    rests = []
    with scene.crewed(SIZE) as worker:
        for number in numbers:
            of, fault = FAULTS[number % len(FAULTS)]
            whole_at = DISTURBED[of](scene, worker, fault(lines[of]))
            took = scene.all_end(within=RESUMED, since=whole_at)
            rests.append((f"{of} {fault.__name__}", took))
    return rests


def _broker(scene: CeleryScene, worker: Served, disturbed: AbstractContextManager[None]) -> float:
    """Jobs are started of which nobody can be told; gives back when the line was whole again."""
    with disturbed:
        scene.start("nap", SECONDS, jobs=JOBS)
    return time.monotonic()


def _store(scene: CeleryScene, worker: Served, disturbed: AbstractContextManager[None]) -> float:
    """Jobs run whose ends cannot be recorded; gives back when the line was whole again."""
    scene.start("nap", SECONDS, jobs=JOBS)
    scene.begun(1, worker)
    with disturbed:
        pass
    whole_at = time.monotonic()
    scene.start("nap", SECONDS, jobs=JOBS)
    return whole_at


DISTURBED = {"broker": _broker, "store": _store}


class Fault(Protocol):
    """What becomes of a line for a while, and at least for ``FAULT_SECONDS``."""

    __name__: str

    def __call__(self, line: TcpProxy) -> AbstractContextManager[None]: ...


@contextmanager
def cut(line: TcpProxy) -> Iterator[None]:
    """Every connection is closed instead of giving an answer."""
    line.cut_answers(EVERY)
    try:
        yield
        time.sleep(FAULT_SECONDS)
    finally:
        line.cut_answers(0)


@contextmanager
def dead(line: TcpProxy) -> Iterator[None]:
    """What is sent is lost; connections in use never carry anything again."""
    line.stalled.set()
    try:
        yield
        time.sleep(FAULT_SECONDS)
    finally:
        line.stalled.clear()


FAULTS: tuple[tuple[str, Fault], ...] = (
    ("broker", cut),
    ("store", dead),
    ("broker", dead),
    ("store", cut),
)


if __name__ == "__main__":
    from chaos import celery_line

    stage.main(celery_line)
