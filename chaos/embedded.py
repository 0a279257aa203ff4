"""Web processes and their embedded workers are killed in turn while clients start jobs."""

from __future__ import annotations

import random
import time

from chaos import stage
from chaos.crowd import SECONDS, crowd
from chaos.scene import PATIENCE, Scene
from support import processes
from support.servers import Served
from support.waiting import until

ROUNDS = 12
SHORT = 3
DEFECTS = {"no_rescue": "finished"}
WEB = 2
APART = (0.2, 1.0)
"""So many seconds are between two kills."""


def play(scene: Scene, rounds: int) -> None:
    """Kill an embedded worker or a web process, in turn and at random moments, so many times."""
    scene.configure(threads=4)
    served = scene.gunicorn("--workers", str(WEB))
    with crowd(served.port):
        while scene.hit < rounds and len(scene.hits) < 2 * rounds:
            time.sleep(random.uniform(*APART))
            _kill_one(scene, served)
    took = scene.all_end()
    scene.check_hits()
    jobs = scene.ledger.jobs().values()
    acknowledged = len(scene.journal.entries("acknowledged"))
    scene.done = (
        f"gunicorn with {WEB} workers; {acknowledged} jobs of {SECONDS * 1000:.0f} ms "
        f"acknowledged; {len(scene.hits)} kills of web processes and embedded workers, "
        f"{scene.hit} hit running jobs"
    )
    scene.found = (
        f"{len(scene.ledger.unfinished())} of {len(jobs)} not finished; "
        f"{sum(job.crashes for job in jobs)} ran again; all ended {took:.1f} s after the last kill"
    )


def _kill_one(scene: Scene, served: Served) -> None:
    web = _web(served)
    scene.begun(1, served)
    running = {each.process for each in scene.journal.going_on(served.mark)}
    if running and len(scene.hits) % 2 == 0:
        scene.kill(served, int(random.choice([*running]).removeprefix(served.mark)))
    else:
        scene.kill_owner(served, random.choice(web))


def _web(served: Served) -> list[int]:
    """gunicorn's workers, of which there are some as long as its first process lives."""
    return until(
        lambda: [
            pid
            for pid in served.pids()
            if pid != served.pid and "-m gunicorn" in processes.command(pid)
        ],
        PATIENCE,
        "a web process",
    )


if __name__ == "__main__":
    from chaos import embedded

    stage.main(embedded)
