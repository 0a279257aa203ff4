"""One job among forty short ones ends the process that runs it, each time."""

from __future__ import annotations

import random
import time

from chaos import stage
from chaos.scene import PATIENCE, Scene
from support.servers import Served
from support.waiting import until

ROUNDS = 200
DEFECTS = {"claimed_is_started": "blame", "not_alone": "alone"}
INNOCENTS = 40
SECONDS = 0.002
"""So short that a worker takes many ahead."""
CROWD = 0.3
"""So many seconds a round waits, so that all its jobs become due together."""
THREADS = 4
WAYS = ("kill", "exit")


def play(scene: Scene, rounds: int) -> None:
    """Play round after round with the same store; who runs the worker starts it again each time."""
    scene.endings = {"poison": "lost"}
    scene.start("nap", 0, seconds=SECONDS)
    worker = _started(scene)
    for number in range(rounds):
        before, at = random.randrange(INNOCENTS), time.time() + CROWD
        scene.start("nap", before, at, seconds=SECONDS)
        scene.start("poison", 1, at, how=WAYS[number % 2])
        scene.start("nap", INNOCENTS - before, at, seconds=SECONDS)
        worker = _kept_up(scene, worker)
    jobs = scene.ledger.jobs().values()
    lost = [job for job in jobs if job.code == "lost"]
    poisons = [job for job in lost if job.task.endswith("poison")]
    again = [job for job in jobs if job.crashes and job.state == "succeeded"]
    scene.done = f"{rounds} rounds of one poison among {INNOCENTS} jobs in {THREADS} threads"
    scene.found = (
        f"{len(poisons)} poisons lost; {len(lost) - len(poisons)} innocents lost, "
        f"{len(again)} ran again because they ran beside it"
    )


def _started(scene: Scene) -> Served:
    return scene.worker("--threads", str(THREADS))


def _kept_up(scene: Scene, worker: Served) -> Served:
    """Start the worker again whenever it dies, until all jobs are over; the last one."""
    while True:
        over = until(lambda: _over(scene, worker), PATIENCE, worker.output)
        if over == "jobs":
            return worker
        worker = _started(scene)


def _over(scene: Scene, worker: Served) -> str:
    """What has ended, if anything."""
    if not scene.unfinished():
        return "jobs"
    return "" if worker.running() else "worker"


if __name__ == "__main__":
    from chaos import poison

    stage.main(poison)
