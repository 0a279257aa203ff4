"""Our jobs in Celery's workers beside plain Celery: ``python -m bench.celery_engine [BROKER]``.

Both with two processes, a Redis with ``appendonly`` for what they remember, and the same broker:
that Redis, unless the URL of another is given. Plain Celery keeps results there, as it must for
anybody to learn how a task has ended.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import redis
from flask import Flask

from bench.redis_store import redis_server
from bench.table import row
from flask_backburner import Backburner

ROOT = Path(__file__).resolve().parents[1]
STARTS = 1_000
BULK = 5_000
PICKS = 100
PATIENCE = 120.0
LOOK = 0.002
MARK = "bench:ran"
"""A counter of jobs that ran, by which both are judged alike."""

PLAIN = """
import os, redis, time
from celery import Celery
app = Celery("plain", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
app.conf.update(broker_transport_options={"global_keyprefix": "plain:"})
marks = redis.Redis.from_url(os.environ["MARKS"])
@app.task
def nothing(): return None
@app.task
def stamp(): marks.rpush("bench:stamps", repr(time.time()))
"""

OURS = """
import os, redis, time
from flask import Flask
from flask_backburner import Backburner
flask_app = Flask("ours", instance_path=os.environ["FOLDER"])
flask_app.config.update(
    BACKBURNER_URL=os.environ["STORE"], BACKBURNER_BROKER_URL=os.environ["BROKER"]
)
tasks = Backburner(flask_app)
app = tasks.celery_app
marks = redis.Redis.from_url(os.environ["MARKS"])
@tasks.task
def nothing() -> None: return None
@tasks.task
def stamp() -> None: marks.rpush("bench:stamps", repr(time.time()))
"""


class Side(ABC):
    """One of the two that are compared."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.marks = redis.Redis.from_url(url)

    @abstractmethod
    def start(self, count: int) -> None:
        """Start so many jobs that do nothing, one after another."""

    @abstractmethod
    def start_many(self, count: int) -> None:
        """Start so many at once, as well as it can."""

    @abstractmethod
    def left(self) -> int:
        """How many jobs have not ended."""

    @abstractmethod
    def stamp(self) -> None:
        """Start a job that says when it runs."""

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker with two processes."""
        command = [sys.executable, "-m", "celery", "-A", f"{self.name}_side", "worker", "-c", "2"]
        command += ["--without-gossip", "--without-mingle"]
        nowhere = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=nowhere, stderr=nowhere) as run:
            try:
                yield
            finally:
                run.terminate()

    def drained(self, count: int) -> float:
        """Jobs a second, from the first that ends to the last."""
        self.start_many(count)
        with self.worker():
            first = until_at_most(self.left, count - 1)
            seen = self.left()
            last = until_at_most(self.left, 0)
        return (seen + 1) / (last - first)

    def pick_up(self) -> list[float]:
        """Milliseconds from the start of a job to its first line, an idle worker given."""
        delays = []
        with self.worker():
            self.stamped()
            for _ in range(PICKS):
                began = time.time()
                delays.append((self.stamped() - began) * 1e3)
        return delays

    def stamped(self) -> float:
        self.stamp()
        found = self.marks.blpop(["bench:stamps"], PATIENCE)
        assert found is not None, f"{self.name}: no job ran"
        return float(found[1])


class Ours(Side):
    def __init__(self, url: str) -> None:
        super().__init__("ours", url)
        self.side = import_module("ours_side")
        self.app = self.side.flask_app

    def start(self, count: int) -> None:
        with self.app.app_context():
            for _ in range(count):
                self.side.nothing.delay()

    def start_many(self, count: int) -> None:
        with self.app.app_context():
            self.side.nothing.map([()] * count)

    def left(self) -> int:
        with self.app.app_context():
            counters = self.side.tasks.installation(self.app).store.counters()
        return sum(n for (_, state), n in counters.items() if not state.done)

    def stamp(self) -> None:
        with self.app.app_context():
            self.side.stamp.delay()


class Plain(Side):
    def __init__(self, url: str, results: str) -> None:
        super().__init__("plain", url)
        self.side = import_module("plain_side")
        self.results = redis.Redis.from_url(results)
        self.started = 0

    def start(self, count: int) -> None:
        for _ in range(count):
            self.side.nothing.delay()
        self.started += count

    def start_many(self, count: int) -> None:
        self.start(count)

    def left(self) -> int:
        return self.started - self.results.dbsize()

    def stamp(self) -> None:
        self.side.stamp.delay()
        self.started += 1


def slowest_start(store: str, broker: str) -> float:
    """Milliseconds that the slowest of some starts takes."""
    app = Flask("lonely", instance_path=os.environ["FOLDER"])
    app.config.update(BACKBURNER_URL=store, BACKBURNER_BROKER_URL=broker)
    tasks = Backburner(app)

    @tasks.task
    def nothing() -> None:
        """The job that nobody is told of."""

    with app.app_context():
        nothing.delay()
        times = [timed(nothing.delay) for _ in range(PICKS)]
    tasks.close()
    return max(times) * 1e3


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until_at_most(left: Callable[[], int], most: int) -> float:
    """Wait until no more are left; when that was."""
    end = time.monotonic() + PATIENCE
    while left() > most:
        assert time.monotonic() < end, "nothing moves"
        time.sleep(LOOK)
    return time.perf_counter()


def main(broker: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder, redis_server(folder) as url:
        time.sleep(0.3)
        server = url.rpartition("/")[0]
        os.environ.update(
            BROKER=broker or f"{server}/1",
            STORE=f"{server}/0",
            RESULTS=f"{server}/2",
            MARKS=f"{server}/3",
            FOLDER=folder,
            PYTHONPATH=os.pathsep.join([folder, str(ROOT), str(ROOT / "src")]),
        )
        (Path(folder) / "ours_side.py").write_text(OURS)
        (Path(folder) / "plain_side.py").write_text(PLAIN)
        sys.path.insert(0, folder)
        compare(Ours(f"{server}/3"), Plain(f"{server}/3", f"{server}/2"))


def compare(ours: Ours, plain: Plain) -> None:
    for side in (plain, ours):
        row(f"{side.name}: started a second, delay", "jobs/s", lambda s=side: rate(s.start, STARTS))
    row("ours: started a second, map", "jobs/s", lambda: rate(ours.start_many, BULK), 3)
    for side in (plain, ours):
        with side.worker():  # what the lines above have started
            until_at_most(side.left, 0)
        row(f"{side.name}: drained a second", "jobs/s", lambda s=side: s.drained(BULK), 3)
    for side in (plain, ours):
        delays = side.pick_up()
        print(
            f"{side.name + ': from delay to the first line':<58} "
            f"{statistics.median(delays):>12,.1f} ms       "
            f"(95 in 100 within {statistics.quantiles(delays, n=20)[-1]:,.1f})"
        )
    away = f"redis://127.0.0.1:{free_port()}/0"
    name = f"ours: the slowest of {PICKS} starts while the broker is away"
    row(name, "ms", lambda: slowest_start(os.environ["STORE"], away), 3)


def rate(start: Callable[[int], None], count: int) -> float:
    """Jobs a second."""
    return count / timed(lambda: start(count))


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else None)
