"""What the store on Redis takes: ``python -m bench.redis_store [URL]``.

Without a URL a redis-server is started for it on a free port, with ``appendonly``.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.table import row
from flask_backburner.errors import StoreError
from flask_backburner.record import Progress, Succeeded
from flask_backburner.store.base import Presence
from flask_backburner.store.claim import Claim, Report, Settlement
from flask_backburner.store.new_job import NewJob
from flask_backburner.store.redis import RedisStore

CALLS = 1_000
BULK = 10_000
STARTING = 10.0


@contextmanager
def redis_server(folder: str) -> Iterator[str]:
    """The URL of a Redis of our own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = f"redis-server --port {port} --bind 127.0.0.1 --dir {folder} --appendonly yes"
    with subprocess.Popen([*command.split(), "--save", ""], stdout=subprocess.DEVNULL) as server:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()


class Bench:
    """A fresh namespace with a worker."""

    def __init__(self, url: str) -> None:
        self.store = RedisStore(url, f"bench-{secrets.token_hex(4)}")
        self.worker: Presence = self.store.join()

    def jobs(self, count: int) -> list[NewJob]:
        return [NewJob(secrets.token_hex(11), "bench:nothing", b"[]") for _ in range(count)]

    def fill(self, count: int) -> None:
        self.store.add(self.jobs(count), 10_000_000)

    def claim(self, room: int, settled: list[Claim]) -> list[Claim]:
        turn = self.store.turn(
            self.worker,
            settled=[Settlement(each, Succeeded(b"null")) for each in settled],
            room=room,
            tasks=["bench:nothing"],
        )
        return list(turn.claimed)


def a_call(times: int, call: Callable[[], object]) -> float:
    """Microseconds a call, of so many."""
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times * 1e6


def add(url: str) -> float:
    bench = Bench(url)
    jobs = iter(bench.jobs(CALLS))
    return a_call(CALLS, lambda: bench.store.add([next(jobs)], 10_000_000))


def bulk_add(url: str) -> float:
    bench = Bench(url)
    return a_call(1, lambda: bench.fill(BULK)) / BULK


def drain(url: str, room: int, jobs: int) -> float:
    """Microseconds a job, settled and the next claimed ``room`` at a time."""
    bench = Bench(url)
    bench.fill(jobs)
    began, claims = time.perf_counter(), bench.claim(room, [])
    while claims:
        claims = bench.claim(room, claims)
    return (time.perf_counter() - began) / jobs * 1e6


def get(url: str) -> float:
    bench = Bench(url)
    (record,) = bench.store.add(bench.jobs(1), 1)
    return a_call(CALLS, lambda: bench.store.get(record.id))


def marks(url: str) -> float:
    """Microseconds that a watcher's question for 100 jobs takes."""
    bench = Bench(url)
    ids = [record.id for record in bench.store.add(bench.jobs(100), 100)]
    return a_call(CALLS // 10, lambda: bench.store.marks(ids))


def started(url: str) -> float:
    bench = Bench(url)
    bench.fill(1)
    (held,) = bench.claim(1, [])
    return a_call(CALLS, lambda: bench.worker.started(held))


def report(url: str) -> float:
    bench = Bench(url)
    bench.fill(1)
    (held,) = bench.claim(1, [])
    news = [Report(held, Progress(1, 2, "half"))]
    return a_call(CALLS, lambda: bench.store.turn(bench.worker, reports=news))


def idle_turn(url: str) -> float:
    bench = Bench(url)
    return a_call(CALLS, lambda: bench.claim(1, []))


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1:
        return measure(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, redis_server(folder) as url:
        await_answer(url)
        measure(url)


def await_answer(url: str) -> None:
    """Wait until the server that was just started answers."""
    deadline = time.monotonic() + STARTING
    while True:
        try:
            return RedisStore(url, "bench").check_writable()
        except StoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def measure(url: str) -> None:
    row("add, one job", "µs", lambda: add(url))
    row(f"add, {BULK} jobs at once, a job", "µs", lambda: bulk_add(url))
    row("turn: settle 1, claim 1", "µs", lambda: drain(url, 1, CALLS))
    row("turn: settle 64, claim 64, a job", "µs", lambda: drain(url, 64, BULK))
    row("turn: nothing to do", "µs", lambda: idle_turn(url))
    row("turn: one report", "µs", lambda: report(url))
    row("started", "µs", lambda: started(url))
    row("get", "µs", lambda: get(url))
    row("marks of 100 jobs", "µs", lambda: marks(url))


if __name__ == "__main__":
    main()
