"""A long job is killed in the middle of an item, again and again, and goes on from there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from chaos import stage
from chaos.checker import shown
from chaos.scene import PATIENCE, Scene
from support.latch import Latch
from support.servers import Served

ROUNDS = 1
SHORT = 1
DEFECTS = {"resume_forgets": "items", "steps_forget": "steps"}
ITEMS = 1000
HELD = (250, 500, 750)
STEPS = ("prepare", "conclude")


def play(scene: Scene, rounds: int) -> None:
    """Kill so many jobs three times each: twice with their worker, once only their own process."""
    scene.threads = 1
    latches = [scene.latch(f"item-{item}") for item in HELD]
    for number in range(1, rounds + 1):
        scene.start("crawl", ITEMS, list(HELD))
        worker = _killed_in_each(scene, latches, number)
        scene.all_end()
        scene.tell(worker)
        assert worker.wait() == 0, worker.output()
    items = Counter((each.id, each.word) for each in scene.journal.entries("item"))
    steps = Counter((each.id, each.word) for each in scene.journal.entries("step"))
    _check(scene, items, steps)
    scene.check_hits()
    scene.done = f"{rounds} jobs of {ITEMS} items, killed {len(scene.hits)} times, each in mid-item"
    scene.found = (
        f"items ran {sum(items.values())} times in all, each at least once; "
        f"{len(steps)} steps ran {sum(steps.values())} times"
    )


def _killed_in_each(scene: Scene, latches: Sequence[Latch], times: int) -> Served:
    """Kill the job wherever it is held; the worker that was spared at last."""
    *before, last = latches
    for latch in before:
        scene.kill(_held_at(scene, latch, times))
    worker = _held_at(scene, last, times)
    (attempt,) = scene.journal.going_on(worker.mark)
    scene.kill(worker, int(attempt.process.removeprefix(worker.mark)))
    return worker


def _held_at(scene: Scene, latch: Latch, times: int) -> Served:
    worker = scene.worker("--threads", "1")
    latch.arrived(times, PATIENCE)
    return worker


def _check(scene: Scene, items: Counter[tuple[str, str]], steps: Counter[tuple[str, str]]) -> None:
    for id in scene.ledger.jobs():
        ran = {word: times for (job, word), times in items.items() if job == id}
        missing = {str(item) for item in range(ITEMS)} - set(ran)
        if missing:
            scene.broken("items", f"{len(missing)} items of job {id} never ran: {shown(missing)}")
        if sum(ran.values()) > ITEMS + len(HELD):
            scene.broken("items", f"the {ITEMS} items of job {id} ran {sum(ran.values())} times")
        for step in STEPS:
            if steps[id, step] != 1:
                scene.broken("steps", f"the step {step!r} of {id} ran {steps[id, step]} times")


if __name__ == "__main__":
    from chaos import resume

    stage.main(resume)
