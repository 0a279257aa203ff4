"""A real Redis for the tests: one of the session's own on a free loopback port."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from support.servers import free_port
from support.waiting import until

STARTING = 30.0


class RedisServer:
    """A redis-server that can be killed and started again on the same port and folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        folder = ["--dir", str(self.folder), "--logfile", str(self.folder / "redis.log")]
        self._process = subprocess.Popen([*command, *folder, "--save", "", *self.options])
        until(self._answers, STARTING, "an answer of redis-server")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        return False

    def save(self) -> None:
        """Have it write its data into a file, with which it comes back when it is started again."""
        with client(self.url) as asking:
            asking.save()

    def flush(self) -> None:
        """Have it forget everything at once, as its operator might."""
        with client(self.url) as asking:
            asking.flushall()

    def forget(self) -> None:
        """Throw the file away."""
        (self.folder / "dump.rdb").unlink(missing_ok=True)

    def shut_down(self) -> None:
        """Stop it as its operator would who keeps the data; waits for its end."""
        with client(self.url) as asking:
            asking.shutdown(save=True)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """``kill -9``; waits for its death."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def client(url: str) -> Iterator[redis.Redis]:
    """A client of the tests' own."""
    with redis.Redis.from_url(url) as opened:
        yield opened


_shared: list[RedisServer] = []


def shared_url() -> str:
    """The session's Redis, which the fixture ``redis_server`` started."""
    assert _shared, "ask for the fixture redis_server"
    return _shared[0].url


@contextmanager
def share(server: RedisServer) -> Iterator[RedisServer]:
    """Let this be the session's Redis."""
    _shared.append(server)
    try:
        yield server
    finally:
        _shared.remove(server)


@contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A Redis of the caller's own."""
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
