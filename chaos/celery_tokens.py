"""Tokens are doubled, lost, forged and put in another order."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.connection import Connection
from kombu.entity import Exchange, Queue

from chaos import stage
from chaos.celery_scene import NOTICED, CeleryScene
from support.servers import Served

ROUNDS = 40
SHORT = 4
SCENE = CeleryScene
DEFECTS = {"announced_once": "late"}
JOBS = 30
SIZE = 2
COPIES = 200
TRIES = 5
SOON = 2.0
LOOK = 0.01
EVERYTHING = "backburner.chaos"
CARRY = {"task": "backburner.carry", "id": "x"}
HEADERS: tuple[dict[str, Any], ...] = (
    {},
    {"id": "x"},
    {"task": "chaos.app:poison", "id": "x"},
    {"task": "celery.backend_cleanup", "id": "x"},
    CARRY | {"timelimit": [0.001, 0.001]},
    CARRY | {"eta": "2999-01-01T00:00:00", "expires": "1999-01-01T00:00:00", "retries": 99},
)
BODIES: tuple[Any, ...] = (None, [], "text", [[], {}, {}], [["other", 7], {"queue": "x"}, None])


def play(scene: CeleryScene, rounds: int) -> None:
    """None of it is to change what becomes of a job.

    Redis is the broker in the first half of the rounds, RabbitMQ in the others.
    """
    scene.start("nap", 0.0, jobs=JOBS)  # nobody is there yet who could be sent a token
    half = rounds - rounds // 2
    left = _disturbed(scene, range(half))
    if rounds > half:
        scene.rabbit()
        left += _disturbed(scene, range(half, rounds))
    scene.done = (
        f"{rounds} rounds of tokens doubled, lost, forged or shuffled, in Redis and in RabbitMQ, "
        f"{JOBS} jobs each"
    )
    scene.found = f"{len(scene.ledger.unfinished())} not finished; {left} tokens are left"


def _disturbed(scene: CeleryScene, numbers: range) -> int:
    """The rounds of these numbers with one broker; gives back how many tokens are left there."""
    with scene.crewed(SIZE) as worker, Tokens(scene.broker_url) as tokens:
        scene.all_end(within=NOTICED)
        for number in numbers:
            fault = FAULTS[number % len(FAULTS)]
            with _held(worker):
                _fill(scene, tokens)
                touched = fault(tokens)
            if not touched:
                scene.broken("hits", f"there was no token to {fault.__name__}")
            scene.all_end(within=NOTICED)
        return len(tokens)


@contextmanager
def _held(worker: Served) -> Iterator[None]:
    """The worker takes no more tokens than it has."""
    worker.terminate(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.terminate(signal.SIGCONT)


def _fill(scene: CeleryScene, tokens: Tokens) -> None:
    """Start jobs until tokens wait; a broker gives the first ones to the worker all the same."""
    for _ in range(TRIES):
        scene.start("nap", 0.01, jobs=JOBS)
        deadline = time.monotonic() + SOON
        while not len(tokens) and time.monotonic() < deadline:
            time.sleep(LOOK)
        if len(tokens):
            return


class Tokens:
    """The broker's queue, for whoever can reach it."""

    def __init__(self, url: str) -> None:
        redis = url.startswith("redis:")
        options = {"global_keyprefix": f"{EVERYTHING}:"} if redis else {}
        self._connection = Connection(url, transport_options=options)
        self._queue = Queue(EVERYTHING, Exchange(""), routing_key=EVERYTHING)

    def __enter__(self) -> Tokens:
        self._channel: Any = self._connection.channel()
        self._producer = self._connection.Producer(self._channel)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.release()

    def __len__(self) -> int:
        return int(self._queue(self._channel).queue_declare().message_count)

    def take(self, most: int) -> list[Any]:
        """At most so many messages, taken out."""
        taken: list[Any] = []
        while len(taken) < most and (message := self._queue(self._channel).get(no_ack=True)):
            taken.append(message)
        return taken

    def purge(self) -> int:
        return int(self._queue(self._channel).purge() or 0)

    def put_back(self, message: Any) -> None:
        """As it was."""
        self._producer.publish(
            message.body,
            routing_key=EVERYTHING,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=message.headers,
        )

    def put(self, body: Any, headers: dict[str, Any]) -> None:
        self._producer.publish(body, routing_key=EVERYTHING, serializer="json", headers=headers)


# Each gives back how many tokens it has touched.


def double(tokens: Tokens) -> int:
    """Two hundred more of one that waits."""
    messages = tokens.take(1)
    for message in messages:
        for _ in range(1 + COPIES):
            tokens.put_back(message)
    return len(messages)


def lose(tokens: Tokens) -> int:
    return tokens.purge()


def forge(tokens: Tokens) -> int:
    """What a stranger who can send messages may think of."""
    for headers in HEADERS:
        for body in BODIES:
            tokens.put(body, headers)
    return len(HEADERS) * len(BODIES)


def shuffle(tokens: Tokens) -> int:
    messages = tokens.take(COPIES)
    random.shuffle(messages)
    for message in messages:
        tokens.put_back(message)
    return len(messages)


FAULTS = (double, lose, forge, shuffle)


if __name__ == "__main__":
    from chaos import celery_tokens

    stage.main(celery_tokens)
