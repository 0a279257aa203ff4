"""All processes of a worker of Celery's are killed, again and again, while its jobs run."""

from __future__ import annotations

import time

from chaos import stage
from chaos.celery_scene import NOTICED, CeleryScene

ROUNDS = 5
SHORT = 1
SCENE = CeleryScene
DEFECTS = {"redis_no_rescue": "finished"}
JOBS = 80
SECONDS = 0.05
SIZE = 2
LIFE = 0.2
"""So many seconds a worker has its jobs before it dies, lest it be done with them."""


def play(scene: CeleryScene, rounds: int) -> None:
    """The last worker may take as long as the work needs, and as deaths take to be noticed."""
    scene.start("nap", SECONDS, jobs=0)  # loading the app takes the client a moment
    for _ in range(rounds):
        worker = scene.crew(SIZE)
        scene.start("nap", SECONDS, jobs=JOBS)
        scene.begun(1, worker)
        time.sleep(LIFE)
        scene.kill(worker)
    worker = scene.crew(SIZE)
    left = len(scene.ledger.unfinished())
    took = scene.all_end(within=left * SECONDS / SIZE + NOTICED)
    again = sum(job.crashes for job in scene.ledger.jobs().values())
    scene.check_hits()
    scene.tell(worker)
    assert worker.wait(60.0) == 0, worker.output()
    scene.done = (
        f"{rounds * JOBS} jobs of {SECONDS * 1000:.0f} ms in {SIZE} processes; {rounds} kills, "
        f"{sum(scene.hits)} hit running jobs"
    )
    scene.found = (
        f"{len(scene.ledger.unfinished())} not finished; {again} ran again; the last {left} took "
        f"{took:.1f} s, their work {left * SECONDS / SIZE:.1f} s"
    )


if __name__ == "__main__":
    from chaos import celery_kills

    stage.main(celery_kills)
