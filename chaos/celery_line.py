"""The lines to the store and to the broker are cut, or go dead, while jobs run and are started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from chaos import stage
from chaos.celery_scene import RESUMED, CeleryScene
from support.servers import Served
from support.tcp_proxy import TcpProxy

ROUNDS = 24
SHORT = 2
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
    store = scene.proxied_store()
    halves = ((scene.proxied_redis, rounds - rounds // 2), (scene.proxied_rabbit, rounds // 2))
    rests: dict[str, float] = {}
    for proxied, share in halves:
        if not share:
            continue
        lines = {"store": store, "broker": proxied()}
        with scene.crewed(SIZE) as worker:
            for number in range(share):
                of, fault = FAULTS[number % len(FAULTS)]
                took = _disturbed(scene, worker, fault(lines[of]), of)
                name = f"{of} {fault.__name__}"
                rests[name] = max(took, rests.get(name, 0.0))
    slowest = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in rests.items())
    scene.done = f"{rounds} faults of the lines to the store, and to Redis or RabbitMQ as broker"
    scene.found = f"all jobs had ended so long after a line was whole again, at most: {slowest}"


def _disturbed(
    scene: CeleryScene, worker: Served, fault: AbstractContextManager[None], of: str
) -> float:
    """How many seconds all jobs took after a fault.

    The store's line is disturbed while jobs run, the broker's while new ones are to be told of.
    """
    if of == "store":
        scene.start("nap", SECONDS, jobs=JOBS)
        scene.begun(1, worker)
    with fault:
        if of == "broker":
            scene.start("nap", SECONDS, jobs=JOBS)
        time.sleep(FAULT_SECONDS)
    if of == "store":
        scene.start("nap", SECONDS, jobs=JOBS)
    return scene.all_end(within=RESUMED)


class Fault(Protocol):
    """What becomes of a line for a while."""

    __name__: str

    def __call__(self, line: TcpProxy) -> AbstractContextManager[None]: ...


@contextmanager
def dead(line: TcpProxy) -> Iterator[None]:
    """What is sent is lost; connections in use never carry anything again."""
    line.stalled.set()
    yield
    line.stalled.clear()


@contextmanager
def cut(line: TcpProxy) -> Iterator[None]:
    """Every connection is closed instead of giving an answer."""
    line.cut_answers(EVERY)
    yield
    line.cut_answers(0)


FAULTS: tuple[tuple[str, Fault], ...] = (
    ("broker", cut),
    ("store", dead),
    ("broker", dead),
    ("store", cut),
)


if __name__ == "__main__":
    from chaos import celery_line

    stage.main(celery_line)
