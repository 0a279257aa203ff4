"""Redis, with all jobs in it, and RabbitMQ are killed and started again while jobs run."""

from __future__ import annotations

import time

from chaos import stage
from chaos.celery_scene import RESUMED, CeleryScene

ROUNDS = 10
SHORT = 1
SCENE = CeleryScene
DEFECTS = {"settled_once": "finished"}
JOBS = 40
SECONDS = 0.1
SIZE = 2


def play(scene: CeleryScene, rounds: int) -> None:
    """Work is to go on by itself soon after both are back; nobody is started again for it."""
    rabbit = scene.rabbit()
    scene.start("nap", SECONDS, jobs=0)
    worker = scene.crew(SIZE)
    rests = []
    for number in range(rounds):
        scene.start("nap", SECONDS, jobs=JOBS)
        scene.begun(1, worker)
        server = (scene.redis, rabbit)[number % 2] if rounds > 1 else scene.redis
        scene.restarted(server)
        began = time.monotonic()
        scene.all_end(within=RESUMED)
        scene.start("nap", SECONDS, jobs=SIZE)  # of which only a new token tells
        scene.all_end(within=RESUMED)
        rests.append(time.monotonic() - began)
    scene.done = f"{rounds} restarts of Redis and RabbitMQ in turn, {JOBS} jobs each time"
    scene.found = (
        f"{len(scene.ledger.unfinished())} not finished; old and new jobs had ended within "
        f"{max(rests):.1f} s of the return"
    )


if __name__ == "__main__":
    from chaos import celery_restarts

    stage.main(celery_restarts)
