"""A Redis without ``appendonly`` is stopped and started: some of its data may be gone."""

from __future__ import annotations

import time

from chaos import stage
from chaos.celery_scene import RESUMED, ForgetfulScene

ROUNDS = 20
SHORT = 1
SCENE = ForgetfulScene
DEFECTS = {"never_reconciled": "finished"}
JOBS = 40
SECONDS = 0.05
SIZE = 2


def play(scene: ForgetfulScene, rounds: int) -> None:
    """What it still has is to end, and new work is to go on soon, without a restart of ours."""
    scene.start("nap", SECONDS, jobs=0)
    scene.patient = True
    worker = scene.crew(SIZE)
    rests = []
    for number in range(rounds):
        scene.start("nap", SECONDS, jobs=JOBS)
        scene.begun(1, worker)
        WAYS[number % len(WAYS)](scene)
        back_at = time.monotonic()
        scene.start("nap", SECONDS, jobs=JOBS)
        rests.append(scene.all_end(within=RESUMED, since=back_at))
        scene.judge()
    scene.done = (
        f"{rounds} times Redis was stopped in order, killed with an old copy, killed with none, "
        "flushed"
    )
    scene.found = (
        f"{len(scene.ledger.unfinished())} not finished; what was kept and new jobs had ended "
        f"within {max(rests):.1f} s of the return"
    )


def orderly(scene: ForgetfulScene) -> None:
    """It is told to stop and keeps all that it has."""
    scene.redis.shut_down()
    scene.redis.start()


def older(scene: ForgetfulScene) -> None:
    """It is killed, and comes back as it was some time before."""
    scene.redis.save()
    before = scene.ended()
    scene.start("nap", SECONDS, jobs=JOBS)
    scene.ended_since(before)
    with scene.losing_memory():
        scene.redis.kill()
        scene.redis.start()


def empty(scene: ForgetfulScene) -> None:
    """It is killed, and comes back with nothing."""
    scene.redis.forget()
    with scene.losing_memory():
        scene.redis.kill()
        scene.redis.start()


def flushed(scene: ForgetfulScene) -> None:
    """It forgets everything, and whoever is connected stays so."""
    with scene.losing_memory():
        scene.redis.flush()


WAYS = (older, empty, flushed, orderly)


if __name__ == "__main__":
    from chaos import celery_amnesia

    stage.main(celery_amnesia)
