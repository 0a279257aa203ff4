"""Process jobs that are hard to kill: only they fail, in time, and nothing is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from chaos import stage
from chaos.monsters import LIMIT, MONSTERS
from chaos.scene import ROOT, Scene
from support import processes
from support.waiting import until

ROUNDS = 5
SHORT = 1
DEFECTS = {"never_killed": "finished", "children_stay": "left_over"}
SLOTS = 8
MEMORY = 256 << 20
STOPPING = 6.0
PATIENCE = 60.0
ENDINGS = {"outlast": "timeout", "die": "lost", "fail": "error"}


def play(scene: Scene, rounds: int) -> None:
    """Run each monster so many times, among as many innocent jobs."""
    scene.configure(processes=SLOTS, process_memory=MEMORY, process_jobs=20)
    scene.endings |= ENDINGS
    worker = scene.serving(scene.servers.worker(ROOT, "chaos.lair:app"))
    _summon(scene, rounds)
    slowest, kind = _watched(scene, rounds)
    spawned = {int(entry.word) for entry in scene.journal.entries("spawn")}
    _check_left(scene, spawned)
    _check_innocents(scene)
    scene.tell(worker)
    assert worker.wait() == 0, worker.output()
    scene.done = f"{rounds * len(MONSTERS)} of {len(MONSTERS)} kinds, as many innocent jobs"
    scene.found = (
        f"the slowest, {kind}, ended {slowest - LIMIT:.2f} s after its limit; "
        f"{len(spawned)} other processes were started, none is left"
    )


def _summon(scene: Scene, rounds: int) -> None:
    command = [sys.executable, "-m", "chaos.summoner", str(rounds)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **scene.servers.env}, check=True)


def _watched(scene: Scene, rounds: int) -> tuple[float, str]:
    """Until all are over: the seconds and the kind of the slowest that had to be stopped."""
    took: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE + rounds * len(MONSTERS) * (LIMIT + STOPPING) / SLOTS
    while (left := scene.ledger.unfinished()) and time.monotonic() < deadline:
        for attempt in scene.journal.attempts():
            if attempt.id not in took and attempt.id not in left:
                took[attempt.id] = time.monotonic() - attempt.at
        time.sleep(0.05)
    kinds = {entry.id: entry.word for entry in scene.journal.entries("acknowledged")}
    stopped = [job.id for job in scene.ledger.jobs().values() if job.code == "timeout"]
    times = sorted((took[id], kinds[id]) for id in stopped if id in took)
    for seconds, kind in times:
        if seconds > LIMIT + STOPPING + scene.slack:
            scene.broken("late", f"{kind} ended {seconds - LIMIT:.2f} s after its limit")
    if not times:
        scene.broken("hits", "no job had to be stopped")
    return times[-1] if times else (LIMIT, "none")


def _check_left(scene: Scene, spawned: set[int]) -> None:
    """What the monsters have started ends with them, while their worker lives."""
    try:
        until(lambda: not any(map(processes.alive, spawned)), STOPPING + scene.slack)
    except AssertionError:
        for pid in filter(processes.alive, spawned):
            scene.broken("left_over", f"process {pid} of a job: {processes.command(pid)}")


def _check_innocents(scene: Scene) -> None:
    for job in scene.ledger.jobs().values():
        if job.task.endswith(":innocent") and (job.crashes or job.failures):
            scene.broken("innocent", f"{job.id} has {job.crashes} crashes, {job.failures} failures")


if __name__ == "__main__":
    from chaos import kinds

    stage.main(kinds)
