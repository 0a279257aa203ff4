"""Tokens are doubled, lost, forged and put in another order."""

from __future__ import annotations

import random
from typing import Any

import redis
from kombu.connection import Connection

from chaos import stage
from chaos.celery_scene import NOTICED, CeleryScene

ROUNDS = 40
SHORT = 4
SCENE = CeleryScene
DEFECTS = {"announced_once": "late"}
JOBS = 30
SIZE = 2
COPIES = 200
EVERYTHING = "backburner.chaos"
LIST = f"{EVERYTHING}:{EVERYTHING}"
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
    """None of it is to change what becomes of a job."""
    scene.start("nap", 0.0, jobs=JOBS)  # nobody is there yet who could be sent a token
    scene.crew(SIZE)
    scene.all_end(within=NOTICED)
    with redis.Redis.from_url(scene.redis.url) as broker:
        for number in range(rounds):
            scene.start("nap", 0.01, jobs=JOBS)
            FAULTS[number % len(FAULTS)](broker)
            scene.all_end(within=NOTICED)
        left = broker.llen(LIST)
    scene.done = f"{rounds} rounds of tokens doubled, lost, forged or shuffled, {JOBS} jobs each"
    scene.found = f"{len(scene.ledger.unfinished())} not finished; {left} tokens are left"


def double(broker: redis.Redis) -> None:
    """Two hundred more of the one that waits, if one does."""
    found = broker.lrange(LIST, 0, 0)
    if found:
        broker.lpush(LIST, *found * COPIES)


def lose(broker: redis.Redis) -> None:
    broker.delete(LIST)


def forge(broker: redis.Redis) -> None:
    """What a stranger who can send messages may think of."""
    port = broker.connection_pool.connection_kwargs["port"]
    options = {"global_keyprefix": f"{EVERYTHING}:"}
    url = f"redis://127.0.0.1:{port}/0"
    with Connection(url, transport_options=options) as connection:
        producer = connection.Producer()
        for headers in HEADERS:
            for body in BODIES:
                producer.publish(body, routing_key=EVERYTHING, serializer="json", headers=headers)


def shuffle(broker: redis.Redis) -> None:
    tokens = broker.lrange(LIST, 0, -1)
    random.shuffle(tokens)
    with broker.pipeline() as change:
        change.delete(LIST)
        if tokens:
            change.rpush(LIST, *tokens)
        change.execute()


FAULTS = (double, lose, forge, shuffle)


if __name__ == "__main__":
    from chaos import celery_tokens

    stage.main(celery_tokens)
