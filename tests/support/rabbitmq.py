"""A real RabbitMQ for the tests: one of the session's own on free loopback ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import processes
from support.servers import free_port
from support.waiting import until

# Not the wrapper of the distribution, which becomes another user.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
STARTING = 90.0


class RabbitServer:
    """A RabbitMQ that can be killed and started again on the same port and folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._distribution, self._names = free_port(), free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._broker: subprocess.Popen[bytes] | None = None
        (folder / "plugins").write_text("[].")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self._epmd is None:
            epmd = shutil.which("epmd") or "epmd"
            where = ["-port", str(self._names), "-address", "127.0.0.1"]
            self._epmd = subprocess.Popen([epmd, *where])
        with (self.folder / "output").open("ab") as output:
            self._broker = subprocess.Popen(
                [PROGRAM],
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until(self._answers, STARTING, lambda: f"RabbitMQ\n{self._said()}")

    def _environment(self) -> dict[str, str]:
        settings = {
            "NODENAME": "t@localhost",
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": str(self.port),
            "DIST_PORT": str(self._distribution),
            "MNESIA_BASE": str(self.folder / "data"),
            "LOG_BASE": str(self.folder / "log"),
            "ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "CONFIG_FILE": str(self.folder / "rabbitmq"),
            "PID_FILE": str(self.folder / "pid"),
        }
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            **{f"RABBITMQ_{name}": value for name, value in settings.items()},
        }

    def _answers(self) -> bool:
        """Whether it speaks AMQP; it listens some time before."""
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
            try:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return probe.recv(1) == b"\x01"
            except OSError:
                return False

    def _said(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def kill(self) -> None:
        """``kill -9`` of all its processes; waits until the port refuses."""
        broker, self._broker = self._broker, None
        if broker is not None:
            # The shell's death alone would leave the broker itself alive.
            processes.kill_all([broker.pid, *processes.descendants(broker.pid)], STARTING)
            broker.wait()
            until(lambda: not self._answers(), STARTING, "the end of RabbitMQ")

    def close(self) -> None:
        """End it and what it needs."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()


@contextmanager
def running_rabbit(folder: Path) -> Iterator[RabbitServer]:
    """A RabbitMQ of the caller's own."""
    server = RabbitServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.close()
