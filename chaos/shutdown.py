"""Workers and servers are told to stop in every way there is, at every moment."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from chaos import stage
from chaos.crowd import crowd
from chaos.environment import HELD_IMPORT
from chaos.scene import APP, PATIENCE, ROOT, Scene
from support import processes
from support.servers import Served
from support.waiting import until

ROUNDS = 100
SHORT = 3
DEFECTS = {"release_is_crash": "no_crash"}
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
THREADS = "2"
SECONDS = 0.5
COMING = 1.0
AT_THE_GATE = 0.3
REQUESTS = 10
BETWEEN_RELOADS = 0.3
FIRST_OF_ALL = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
EXEC = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"


def play(scene: Scene, rounds: int) -> None:
    """Each signal twice, as the first process, in the import, in a claim; then so many reloads."""
    scene.start("nap", SECONDS, jobs=0)
    _twice(scene, [scene.worker("--threads", THREADS) for _ in SIGNALS])
    _twice(scene, [_first_process(scene) for _ in SIGNALS])
    _in_the_import(scene)
    _in_a_claim(scene)
    recycled = _recycled(scene, rounds)
    _reloaded(scene, rounds)
    worker = scene.serving(scene.worker())
    scene.all_end()
    scene.tell(worker)
    _end(worker, 0)
    jobs = scene.ledger.jobs().values()
    again = len(scene.journal.attempts()) - len(jobs)
    scene.done = (
        "TERM, INT, QUIT, HUP: twice, as process 1, during import, during a claim; "
        f"{recycled} web processes recycled, {rounds} reloads under load"
    )
    scene.found = (
        f"{len(scene.ledger.unfinished())} of {len(jobs)} jobs not finished; "
        f"{sum(job.crashes for job in jobs)} crashes counted; {again} attempts handed back"
    )


def _twice(scene: Scene, workers: Sequence[Served]) -> None:
    """Each worker gets its signal in the middle of its jobs, and once more while it stops."""
    for worker in workers:
        scene.serving(worker)
    scene.start("nap", SECONDS, jobs=4 * len(workers))
    for worker in workers:
        scene.keep_busy(worker, "nap", SECONDS, jobs=4 * len(workers))
    for _ in range(2):
        for worker, number in zip(workers, SIGNALS, strict=True):
            _signal(scene, worker, number)
    _ended(scene, workers)


def _signal(scene: Scene, worker: Served, number: int) -> None:
    """To the worker itself, which may be a child of what was started."""
    scene.told(worker)
    for pid in _themselves(worker):
        processes.kill(pid, number)


def _themselves(worker: Served) -> list[int]:
    commands = {pid: processes.command(pid) for pid in worker.pids()}
    named = [pid for pid in sorted(commands) if " jobs worker" in commands[pid]]
    return [pid for pid in named if "unshare" not in commands[pid]][:1]


def _ended(scene: Scene, workers: Sequence[Served]) -> None:
    """All but the last, which HUP has made begin anew, end by themselves."""
    *others, restarted = workers
    for worker, number in zip(others, SIGNALS, strict=False):
        _end(worker, 0, 1, -number)
    # A signal that comes before the new beginning has come to anything ends the process.
    until(
        lambda: restarted.output().count("Serving") > 1 or not restarted.running(),
        PATIENCE,
        restarted.output,
    )
    _signal(scene, restarted, signal.SIGTERM)
    _end(restarted, 0, 1, -signal.SIGHUP)


def _end(worker: Served, *codes: int) -> None:
    code = worker.wait(PATIENCE)
    assert code in codes, f"{worker!r} ended with {code}\n{worker.output()}"


def _first_process(scene: Scene) -> Served:
    """A worker that is process 1 of a namespace of its own, as in a container."""
    flask = [sys.executable, "-m", "flask", "--app", APP, "jobs", "worker", "--threads", THREADS]
    return scene.servers.run(ROOT, "-c", EXEC, *FIRST_OF_ALL, *flask)


def _in_the_import(scene: Scene) -> None:
    """The signal comes while the app is imported."""
    held = scene.latch("import")
    workers = [scene.worker(**{HELD_IMPORT: "import"}) for _ in SIGNALS]
    held.arrived(len(workers), PATIENCE)
    for worker, number in zip(workers, SIGNALS, strict=True):
        scene.tell(worker, number)
    held.arrived(len(workers) + 1, PATIENCE)  # the one that HUP makes begin anew
    scene.tell(workers[-1])
    for worker in workers:
        _end(worker, 0)


def _in_a_claim(scene: Scene) -> None:
    """The signal comes while the worker waits at the gate to take a job."""
    workers = [scene.serving(scene.worker("--threads", THREADS)) for _ in SIGNALS]
    due = time.time() + COMING
    scene.start("nap", SECONDS, jobs=len(workers), at=due)
    with _gate_held(scene):
        time.sleep(max(0.0, due - time.time()) + AT_THE_GATE)
        for worker, number in zip(workers, SIGNALS, strict=True):
            scene.tell(worker, number)
    _ended(scene, workers)


@contextmanager
def _gate_held(scene: Scene) -> Iterator[None]:
    """Let no process write."""
    gate = os.open(f"{scene.ledger.path}.gate", os.O_RDWR)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    finally:
        os.close(gate)


def _recycled(scene: Scene, rounds: int) -> int:
    """Web processes end after some requests each, until so many have; how many did."""
    served = scene.gunicorn("--workers", "2", "--max-requests", str(REQUESTS))
    scene.told(served)
    with crowd(served.port):
        until(lambda: _births(served) >= 2 + rounds, PATIENCE + rounds, served.output)
    scene.all_end()
    served.terminate()
    _end(served, 0)
    return _births(served) - 2


def _births(served: Served) -> int:
    return served.output().count("Booting worker")


def _reloaded(scene: Scene, rounds: int) -> None:
    """A storm of HUP, each of which replaces the web processes."""
    served = scene.gunicorn("--workers", "2")
    with crowd(served.port):
        for number in range(1, rounds + 1):
            _reload(scene, served, number)
    scene.all_end()
    served.terminate()
    _end(served, 0)


def _reload(scene: Scene, served: Served, number: int) -> None:
    """The next only when it has heeded this one: it comes to its end after all that wait."""
    scene.tell(served, signal.SIGHUP)
    until(lambda: served.output().count("Hang up: Master") == number, PATIENCE, served.output)
    time.sleep(BETWEEN_RELOADS)


if __name__ == "__main__":
    from chaos import shutdown

    stage.main(shutdown)
