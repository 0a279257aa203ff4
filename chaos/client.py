"""Client: starts jobs by a process of its own, which notes what it was acknowledged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from chaos.journal import Journal
from support.servers import Servers
from support.waiting import until

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60.0


class Client:
    """A process that starts jobs as a web process would, and keeps the store open."""

    def __init__(self, servers: Servers, journal: Journal) -> None:
        self._journal = journal
        self._orders = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.starter"],
            cwd=ROOT,
            env={**os.environ, **servers.env},
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(
        self, task: str, jobs: int, at: float | None, arguments: tuple[Any, ...], *, patient: bool
    ) -> None:
        """Returns when all are acknowledged; ``patient``, it tries again where no answer came."""
        self._orders += 1
        order = {"task": task, "jobs": jobs, "at": at, "arguments": arguments, "patient": patient}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"number": self._number, **order}) + "\n")
        self._process.stdin.flush()
        until(lambda: self._served() or self._process.poll() is not None, PATIENCE, str(order))
        assert self._served(), f"the client ended in {order}"

    @property
    def _number(self) -> str:
        """Of the last order; no other client's has it."""
        return f"{self._process.pid}-{self._orders}"

    def _served(self) -> bool:
        return any(each.word == self._number for each in self._journal.entries("served"))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
