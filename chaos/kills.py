"""The whole worker is killed again and again while its jobs run."""

from __future__ import annotations

import time

from chaos import stage
from chaos.scene import Scene

ROUNDS = 5
SHORT = 1
DEFECTS = {"delete_on_pop": "kept", "no_rescue": "finished"}
JOBS = 80
SECONDS = 0.05
THREADS = 4
SPARE = 2.0
LIFE = 2.5
WORK = 0.6
"""So many seconds before its death a worker is given its jobs, lest it be done with them."""


def play(scene: Scene, rounds: int) -> None:
    """Kill so many workers, each in the middle of its jobs; then see how long a healthy one takes.

    It may take as long as the remaining work needs, and ``SPARE`` seconds.
    """
    scene.threads = THREADS
    scene.start("nap", SECONDS, jobs=0)  # loading the app takes the client a moment
    while scene.hit < rounds and len(scene.hits) < 2 * rounds:
        _one_life(scene)
    worker = scene.serving(scene.worker("--threads", str(THREADS)))
    left = len(scene.ledger.unfinished())
    took = scene.all_end(within=left * SECONDS / THREADS + SPARE)
    again = sum(job.crashes for job in scene.ledger.jobs().values())
    scene.check_hits()
    scene.tell(worker)
    assert worker.wait() == 0, worker.output()
    scene.done = (
        f"{len(scene.ledger.jobs())} jobs of {SECONDS * 1000:.0f} ms in {THREADS} threads; "
        f"{len(scene.hits)} kills, {scene.hit} hit running jobs"
    )
    scene.found = (
        f"{len(scene.ledger.unfinished())} not finished; {again} ran again; the last {left} took "
        f"{took:.1f} s, their work {left * SECONDS / THREADS:.1f} s"
    )


def _one_life(scene: Scene) -> None:
    worker = scene.serving(scene.worker("--threads", str(THREADS)))
    born_at = time.monotonic()
    _sleep_until(born_at + LIFE - WORK)
    scene.start("nap", SECONDS, jobs=JOBS)
    _sleep_until(born_at + LIFE)
    scene.keep_busy(worker, "nap", SECONDS, jobs=JOBS)
    scene.kill(worker)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


if __name__ == "__main__":
    from chaos import kills

    stage.main(kills)
