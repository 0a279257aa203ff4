"""Single processes of a pool of Celery's are killed while they run a job."""

from __future__ import annotations

from chaos import stage
from chaos.celery_scene import CHILD_NOTICED, CeleryScene

ROUNDS = 30
SHORT = 3
SCENE = CeleryScene
DEFECTS = {"child_unseen": "late"}
SECONDS = 0.5
SIZE = 2


def play(scene: CeleryScene, rounds: int) -> None:
    """Each job that was cut off is to begin again soon, in the same worker."""
    scene.start("nap", SECONDS, jobs=0)
    worker = scene.crew(SIZE)
    delays = []
    for _ in range(rounds):
        scene.start("nap", SECONDS, jobs=SIZE)
        delays.append(scene.begun_again(scene.kill_child(worker)))
        if delays[-1] > CHILD_NOTICED + scene.slack:
            words = f"a job began again only after {delays[-1]:.1f} s, not {CHILD_NOTICED:g} s"
            scene.broken("late", words)
        scene.all_end()
    scene.check_hits()
    scene.done = f"{rounds} kills of one of {SIZE} processes, {sum(scene.hits)} hit a running job"
    scene.found = f"each ran again, within {max(delays):.1f} s at the latest"


if __name__ == "__main__":
    from chaos import celery_children

    stage.main(celery_children)
