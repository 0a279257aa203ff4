"""What is measured inside one process: starting jobs, draining them, reading their status."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat

from flask import Flask
from werkzeug.test import run_wsgi_app

from bench.table import row
from flask_backburner import Backburner, current_job
from flask_backburner.engine.local.worker import Worker
from flask_backburner.task import Task

STARTS = 2_000
BULK = 20_000
CALLS = 500_000


@contextmanager
def installed(durability: str) -> Iterator[tuple[Backburner, Task[[], None], Flask]]:
    """An app on a fresh store, with a task that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        app = Flask("bench", instance_path=folder)
        app.config.update(
            BACKBURNER_DURABILITY=durability,
            BACKBURNER_WORKER="external",
            BACKBURNER_MAX_QUEUED=10_000_000,
        )
        tasks = Backburner(app)

        @tasks.task
        def nothing() -> None:
            pass

        with app.app_context():
            nothing.delay()
            yield tasks, nothing, app
        tasks.close()


def delay(durability: str) -> float:
    """Microseconds that delay() takes, one after another."""
    with installed(durability) as (_, nothing, _):
        began = time.perf_counter()
        for _ in range(STARTS):
            nothing.delay()
        return (time.perf_counter() - began) / STARTS * 1e6


def bulk(durability: str) -> float:
    """Microseconds a job that map() takes."""
    with installed(durability) as (_, nothing, _):
        began = time.perf_counter()
        nothing.map(repeat((), BULK))
        return (time.perf_counter() - began) / BULK * 1e6


def drained(durability: str) -> float:
    """Jobs a second that one worker with four threads runs."""
    with installed(durability) as (tasks, nothing, app):
        nothing.map(repeat((), BULK))
        worker = Worker(tasks.installation(app), threads=4, burst=True)
        began = time.perf_counter()
        worker.run()
        return (BULK + 1) / (time.perf_counter() - began)


def status_read() -> float:
    """Microseconds that looking at a job takes in Python."""
    with installed("normal") as (_, nothing, _):
        job = nothing.delay()
        began = time.perf_counter()
        for _ in range(STARTS):
            job.refresh()
        return (time.perf_counter() - began) / STARTS * 1e6


def requests(path: str, headers: dict[str, str] | None = None) -> float:
    """Requests a second for a path, through Flask alone; ``{id}`` is a finished job's id."""
    with installed("normal") as (tasks, nothing, app):
        job = nothing.delay()
        Worker(tasks.installation(app), burst=True).run()
        app.add_url_rule("/constant", view_func=lambda: "constant")
        client = app.test_client()
        environ = client.get(path.format(id=job.id), headers=headers).request.environ
        began = time.perf_counter()
        for _ in range(STARTS):
            run_wsgi_app(app, dict(environ))
        return STARTS / (time.perf_counter() - began)


def progress() -> float:
    """Microseconds a call of current_job.progress() takes in a tight loop."""
    return _in_a_job(_report)


def _report(calls: int) -> None:
    for number in range(calls):
        current_job.progress(number, calls)


def track() -> float:
    """Microseconds an item that current_job.track() adds to a loop."""
    return _in_a_job(_track)


def _track(calls: int) -> None:
    for _ in current_job.track(range(calls)):
        pass


def _in_a_job(work: Callable[[int], None]) -> float:
    spent: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        app = Flask("bench", instance_path=folder)
        app.config["BACKBURNER_WORKER"] = "external"
        tasks = Backburner(app)

        @tasks.task
        def measured() -> None:
            began = time.perf_counter()
            work(CALLS)
            spent.append(time.perf_counter() - began)

        with app.app_context():
            measured.delay()
        Worker(tasks.installation(app), burst=True).run()
        tasks.close()
    return spent[0] / CALLS * 1e6


def main() -> None:
    print(f"Inside one process, pid {os.getpid()}")
    for durability in ("normal", "full"):
        row(f"delay(), {durability}", "µs", partial(delay, durability))
        row(f"map(), {durability}, a job", "µs", partial(bulk, durability))
        row(f"no-op jobs drained, 4 threads, {durability}", "jobs/s", partial(drained, durability))
    row("one look at a job", "µs", status_read)
    constant = row("a constant view", "req/s", partial(requests, "/constant"))
    status = row("the status route, a finished job", "req/s", partial(requests, "/jobs/{id}"))
    row("the same, 304", "req/s", partial(requests, "/jobs/{id}", {"If-None-Match": "*"}))
    print(f"{'status route / constant view':<58} {status / constant:>12.2f}")
    row("current_job.progress() in a tight loop", "µs", progress)
    row("current_job.track(), an item", "µs", track)


if __name__ == "__main__":
    main()
