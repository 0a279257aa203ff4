"""One job among forty short ones ends the process that runs it, each time."""

from __future__ import annotations

import random
import time

from chaos import stage
from chaos.scene import PATIENCE, Scene
from support.servers import Served
from support.waiting import until

ROUNDS = 200
SHORT = 5
DEFECTS = {"claimed_is_started": "blame", "not_alone": "alone"}
THREADS = 4
TINY = 150
"""Run before and as many after, so that the worker takes jobs ahead of its threads."""
CROWD = 16
"""Run together with the poison when it comes first."""
COMPANY = 12
COMPANY_SECONDS = 0.3
RETURNS = 2
"""So many times it comes back to company; from the second on it is to have none."""
INNOCENTS = CROWD + RETURNS * COMPANY
TOGETHER = 0.6
"""So many seconds a round waits, so that all its jobs become due together."""
WAYS = ("kill", "exit")


def play(scene: Scene, rounds: int) -> None:
    """Play round after round with the same store; who runs the worker starts it again each time."""
    scene.endings, scene.threads = {"poison": "lost"}, THREADS
    worker = _started(scene)
    for number in range(rounds):
        _start_round(scene, WAYS[number % len(WAYS)])
        worker = _kept_up(scene, worker)
    jobs = scene.ledger.jobs().values()
    lost = [job for job in jobs if job.code == "lost"]
    poisons = [job for job in lost if job.task.endswith("poison")]
    again = [job for job in jobs if job.crashes and job.state == "succeeded"]
    scene.done = (
        f"{rounds} rounds of one poison among {INNOCENTS} jobs in {THREADS} threads, "
        f"in a crowd of {2 * TINY}"
    )
    scene.found = (
        f"{len(poisons)} poisons lost; {len(lost) - len(poisons)} innocents lost, "
        f"{len(again)} ran again as they ran beside it or had just ended"
    )


def _started(scene: Scene) -> Served:
    return scene.worker("--threads", str(THREADS))


def _start_round(scene: Scene, way: str) -> None:
    before, at = random.randrange(CROWD), time.time() + TOGETHER
    scene.start("nap", 0.0, jobs=TINY + before, at=at)
    scene.start("poison", way, at=at)
    scene.start("nap", 0.0, jobs=CROWD - before + TINY, at=at)


def _kept_up(scene: Scene, worker: Served) -> Served:
    """Start the worker again whenever it dies, until all jobs are over; the last one."""
    deaths = 0
    while _ended_first(scene, worker) == "worker":
        deaths += 1
        if deaths <= RETURNS:
            scene.start("nap", COMPANY_SECONDS, jobs=COMPANY)
        worker = _started(scene)
    return worker


def _ended_first(scene: Scene, worker: Served) -> str:
    """What ends first: all the jobs or the worker."""

    def ended() -> str:
        if not scene.ledger.unfinished():
            return "jobs"
        return "" if worker.running() else "worker"

    return until(ended, PATIENCE, worker.output)


if __name__ == "__main__":
    from chaos import poison

    stage.main(poison)
