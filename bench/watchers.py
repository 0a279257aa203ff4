"""A thousand watchers of one web process: what they cost, and how soon they see a change."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from bench.app import app, tasks
from flask_backburner.external import ExternalJob

WATCHERS = 1_000
QUIET_SECONDS = 10.0
CHANGES = 40
BETWEEN_CHANGES = 0.5
PATIENCE = 60.0
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Audience:
    """The watchers: each reads its job's stream, and comes again when that ends."""

    def __init__(self, port: int, works: Sequence[ExternalJob]) -> None:
        self._port = port
        self._works = works
        self.told_at: dict[str, float] = {}
        self.delays: list[float] = []
        self.seen: set[int] = set()
        self._heard: dict[int, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        for number in range(WATCHERS):
            self._tasks.append(asyncio.create_task(self._watch(number)))
            await asyncio.sleep(0.002)
        deadline = time.monotonic() + PATIENCE
        while len(self.seen) < WATCHERS and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert len(self.seen) == WATCHERS, f"only {len(self.seen)} watchers were served"

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, number: int) -> None:
        work = self._works[number % len(self._works)]
        last = ""
        while True:
            with suppress(ConnectionError):
                last = await self._read_stream(number, work.id, last)

    async def _read_stream(self, number: int, id: str, last: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = [f"GET /jobs/{id}/events HTTP/1.1", "Host: bench", "Connection: close"]
        lines += [f"Last-Event-ID: {last}"] if last else []
        writer.write("\r\n".join([*lines, "", ""]).encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    last = line[4:].decode().strip()
                elif line.startswith(b"data: "):
                    self._note(number, line)
        finally:
            writer.close()
        return last

    def _note(self, number: int, data: bytes) -> None:
        now = time.monotonic()
        self.seen.add(number)
        _, _, rest = data.partition(b'"message":"')
        word = rest.partition(b'"')[0].decode()
        # Who came again is told the state anew, which is no news
        if word in self.told_at and self._heard.get(number) != word:
            self._heard[number] = word
            self.delays.append(now - self.told_at[word])


class Process:
    """What the operating system says of a process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def resident(self) -> int:
        """Bytes of memory."""
        with open(f"/proc/{self._pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE

    def spent(self) -> float:
        """Seconds of processor time."""
        with open(f"/proc/{self._pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def server() -> Iterator[tuple[int, Process]]:
    """gunicorn with one process and a thread for each watcher: its port, and that process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = f"--threads {WATCHERS + 50} --worker-connections {WATCHERS + 500} --no-control-socket"
    master = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "bench.app:app", *options.split()),
            *("--log-level", "warning", "--bind", f"127.0.0.1:{port}"),
        ],
        env=os.environ | {"FLASK_BACKBURNER_WORKER": "external"},
    )
    try:
        yield port, Process(_worker(master.pid))
    finally:
        master.send_signal(signal.SIGTERM)
        began = time.monotonic()
        master.wait(PATIENCE)
        print(
            f"{'the server stops with its streams open, after':<58} "
            f"{time.monotonic() - began:>12.1f} s"
        )


def _worker(master: int) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with open(f"/proc/{master}/task/{master}/children") as file:
            children = file.read().split()
        if children:
            time.sleep(1.0)  # until it has loaded the app
            return int(children[0])
        time.sleep(0.05)
    raise TimeoutError("gunicorn did not start.")


async def measure(port: int, process: Process, works: Sequence[ExternalJob]) -> None:
    before = process.resident()
    audience = Audience(port, works)
    await audience.come()
    print(f"\n{WATCHERS} watchers of {len(works)} job(s)")
    show("memory a stream", (process.resident() - before) / WATCHERS / 1024, "KiB")
    show("processor, nothing happens", await _share(process, asyncio.sleep(QUIET_SECONDS)), "%")
    share = await _share(process, _change(audience, works))
    show(f"processor, a change each {BETWEEN_CHANGES} s", share, "%")
    delays = sorted(audience.delays)
    show("changes seen", len(delays), "")
    show("from the report to a watcher, p50", statistics.median(delays) * 1000, "ms")
    show("from the report to a watcher, p99", delays[int(len(delays) * 0.99)] * 1000, "ms")
    await audience.leave()


async def _share(process: Process, what: object) -> float:
    """The share of a core, in percent, that the process takes while something goes on."""
    spent, began = process.spent(), time.monotonic()
    await what  # type: ignore[misc]  # a coroutine, of either kind
    return (process.spent() - spent) / (time.monotonic() - began) * 100


async def _change(audience: Audience, works: Sequence[ExternalJob]) -> None:
    """Change one job after the other, so that each change is an isolated one."""
    for number in range(CHANGES):
        word = f"change {len(works)} {number}"
        work = random.choice(works)
        audience.told_at[word] = time.monotonic()
        work.progress(number, CHANGES, word)
        await asyncio.sleep(BETWEEN_CHANGES)


def show(name: str, value: float, unit: str) -> None:
    print(f"{name:<58} {value:>12,.1f} {unit}")


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    with server() as (port, process), app.app_context():
        asyncio.run(measure(port, process, [_job()]))
        asyncio.run(measure(port, process, [_job() for _ in range(WATCHERS)]))
    tasks.close()


def _job() -> ExternalJob:
    work = tasks.external("watched")
    work.start()
    return work


if __name__ == "__main__":
    if "BENCH_FOLDER" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            environ = os.environ | {
                "BENCH_FOLDER": folder,
                "FLASK_BACKBURNER_WORKER": "external",
                "FLASK_BACKBURNER_DURABILITY": "normal",
            }
            sys.exit(
                subprocess.run([sys.executable, "-m", "bench.watchers"], env=environ).returncode
            )
    main()
