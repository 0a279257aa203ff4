"""The line to the broker is cut, or swallows what is sent, while jobs are started."""

from __future__ import annotations

import time

from chaos import stage
from chaos.celery_scene import RESUMED, CeleryScene

ROUNDS = 20
SHORT = 2
SCENE = CeleryScene
DEFECTS = {"announced_once": "finished"}
JOBS = 20
SIZE = 2
CUTS = 20
SILENCE = 1.0


def play(scene: CeleryScene, rounds: int) -> None:
    """Work is to go on by itself soon after the line is whole again."""
    proxy = scene.proxied()
    scene.start("nap", 0.0, jobs=0)
    scene.crew(SIZE)
    rests = []
    for number in range(rounds):
        if number % 2:
            proxy.stalled.set()
            time.sleep(SILENCE)
        else:
            proxy.cut_answers(CUTS)
        scene.start("nap", 0.0, jobs=JOBS)
        proxy.stalled.clear()
        rests.append(scene.all_end(within=RESUMED))
    scene.done = f"{rounds} faults of the line to the broker, half of them silent"
    scene.found = f"all jobs of a round had ended within {max(rests):.1f} s"


if __name__ == "__main__":
    from chaos import celery_line

    stage.main(celery_line)
