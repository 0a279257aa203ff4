"""A worker is stopped where it stands (SIGSTOP), and comes back when its job is another's."""

from __future__ import annotations

import signal
import time

from chaos import stage
from chaos.scene import PATIENCE, Scene

ROUNDS = 5
SHORT = 1
DEFECTS = {"no_fence": "result"}
HANG = 4
"""Half as long again, and a worker that hangs ends itself: before that it is to come back."""


def play(scene: Scene, rounds: int) -> None:
    """Stop so many workers for longer than the limit, then let each go on and say its result."""
    scene.configure(hang=HANG)
    stops = [_one_stop(scene, f"round-{number}") for number in range(rounds)]
    after = [took for took, _ in stops]
    late = sum(came_back for _, came_back in stops)
    crashes = sum(job.crashes for job in scene.ledger.jobs().values())
    scene.done = f"{rounds} workers stopped in a job, with a limit of {HANG} s, and continued"
    scene.found = (
        f"taken up by another {min(after):.1f} to {max(after):.1f} s later; {crashes} crashes "
        f"counted; {late} late results refused"
    )


def _one_stop(scene: Scene, name: str) -> tuple[float, bool]:
    """How many seconds after the stop another worker began the job, and if the first came back."""
    late, good = scene.latch(f"{name}-1"), scene.latch(f"{name}-2")
    stopped = scene.worker("--threads", "1")
    scene.start("wait", name)
    late.arrived(1, PATIENCE)
    healthy = scene.serving(scene.worker("--threads", "1"))
    scene.tell(stopped, signal.SIGSTOP)
    began = time.monotonic()
    good.arrived(1, PATIENCE)
    took = time.monotonic() - began
    stopped.terminate(signal.SIGCONT)
    late.open()
    stopped.terminate()
    code = stopped.wait(PATIENCE)
    assert code in (0, 1), stopped.output()
    good.open()
    scene.all_end()
    scene.tell(healthy)
    assert healthy.wait(PATIENCE) == 0, healthy.output()
    return took, code == 0


if __name__ == "__main__":
    from chaos import hang

    stage.main(hang)
