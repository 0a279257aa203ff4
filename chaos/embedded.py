"""Web processes and their embedded workers are killed at random while clients start jobs."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from chaos import stage
from chaos.journal import note
from chaos.scene import PATIENCE, Scene
from support import processes
from support.servers import Served
from support.waiting import until

ROUNDS = 12
DEFECTS = {"no_rescue": "finished"}
WEB = 2
CLIENTS = 4
SECONDS = 0.05
PAUSE = 0.06
"""Between two jobs of a client: some sixty a second, so that the threads are seldom idle."""
APART = (0.2, 1.0)
"""So many seconds are between two kills."""


def play(scene: Scene, rounds: int) -> None:
    """Kill a web process or an embedded worker, chosen by chance, so many times."""
    scene.configure(threads=4)
    served = scene.gunicorn("--workers", str(WEB))
    with _clients(served.port):
        while len(scene.hits) < rounds:
            time.sleep(random.uniform(*APART))
            scene.begun(1, served)
            _kill_one(scene, served)
    took = scene.all_end()
    scene.check_hits()
    jobs = scene.ledger.jobs().values()
    acknowledged = len(scene.journal.entries("acknowledged"))
    scene.done = (
        f"gunicorn with {WEB} workers; {acknowledged} jobs of {SECONDS * 1000:.0f} ms "
        f"acknowledged; {rounds} kills of web processes and embedded workers, "
        f"{sum(scene.hits)} hit running jobs"
    )
    scene.found = (
        f"{len(scene.unfinished())} of {len(jobs)} not finished; "
        f"{sum(job.crashes for job in jobs)} ran again; all ended {took:.1f} s after the last kill"
    )


def _kill_one(scene: Scene, served: Served) -> None:
    if random.random() < 0.5:
        scene.kill_owner(served, random.choice(_web(served)))
    else:
        running = {each.process for each in scene.journal.going_on(served.mark)}
        workers = [pid for pid in served.pids() if f"{served.mark}{pid}" in running]
        if workers:
            scene.kill(served, random.choice(workers))


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


@contextmanager
def _clients(port: int) -> Iterator[None]:
    """Clients that start jobs one after the other, and try again where they got no answer."""
    leaving = threading.Event()
    clients = [threading.Thread(target=_start_jobs, args=(port, leaving)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        leaving.set()
        for client in clients:
            client.join()


def _start_jobs(port: int, leaving: threading.Event) -> None:
    while not leaving.wait(PAUSE):
        try:
            id = _start_one(port)
        except (OSError, http.client.HTTPException):
            continue  # nothing was acknowledged
        note("acknowledged", id, word="nap")


def _start_one(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", f"/nap?seconds={SECONDS}")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 202:
        raise http.client.HTTPException(f"{answer.status} {body!r}")
    return str(json.loads(body)["id"])


if __name__ == "__main__":
    from chaos import embedded

    stage.main(embedded)
