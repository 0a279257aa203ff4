"""How soon jobs end: hundreds that wait at a time, and those that are cancelled."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType

from bench.table import row
from flask_backburner import Job

WAITING = 500
PATIENCE = 60.0
LOOK = 0.002


@contextmanager
def worker(folder: str) -> Iterator[ModuleType]:
    """``flask jobs worker`` of the app in a fresh folder; gives the app's module."""
    os.environ["BENCH_FOLDER"] = folder
    bench = import_module("bench.app")
    command = [sys.executable, "-m", "flask", "--app", "bench.app:app", "jobs", "worker"]
    with bench.app.app_context(), subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            bench.nothing.delay().wait(PATIENCE)
            yield bench
        finally:
            process.terminate()
    bench.tasks.close()


def all_waited(bench: ModuleType) -> float:
    """Seconds until all async jobs have ended that wait a second each."""
    began = time.perf_counter()
    for job in bench.second.map([()] * WAITING):
        job.wait(PATIENCE)
    return time.perf_counter() - began


def cancelled(bench: ModuleType, deaf: bool) -> float:
    """Seconds from the cancel of a running process job until it has ended and that is recorded."""
    job: Job[None] = bench.linger.delay(deaf)
    _until(lambda: job.refresh().progress.current == 1)
    began = time.perf_counter()
    job.cancel()
    _until(lambda: job.refresh().done)
    assert job.state == "cancelled", job.error
    return time.perf_counter() - began


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "nothing moves"
        time.sleep(LOOK)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, worker(folder) as bench:
        row(f"{WAITING} async jobs of a second each, one worker", "s", partial(all_waited, bench))
        row("cancel of a process job", "s", partial(cancelled, bench, False))
        row("the same, SIGTERM ignored", "s", partial(cancelled, bench, True), 3)


if __name__ == "__main__":
    main()
