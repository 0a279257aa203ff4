"""Shutdown: what the process of a worker does at SIGTERM, SIGINT, SIGQUIT and SIGHUP."""

from __future__ import annotations

import os
import signal
import sys
from math import inf
from types import FrameType
from typing import Any, NoReturn

from .worker import Worker

TERM, INT = signal.SIGTERM, signal.SIGINT
QUIT = getattr(signal, "SIGQUIT", None)  # these two are not on Windows
HUP = getattr(signal, "SIGHUP", None)


class Shutdown:
    """Heeds the signals of a worker's process.

    TERM and INT: running jobs get the grace; a second one, and QUIT: at once. HUP is like TERM,
    or, where the process can ``restart`` itself, waits for what runs and then does so.
    """

    def __init__(self, *, restart: bool = False) -> None:
        self._can_restart = restart
        self._restart = False
        self._asked = False
        self._worker: Worker | None = None
        self._grace = 0.0
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Heed signals from now on; before there is a worker, they end the process at once."""
        for number in filter(None, (TERM, INT, QUIT, HUP)):
            # What was started by nohup is to outlive its terminal.
            if number != HUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._heed)

    def give_up(self) -> None:
        """Heed signals no more: somebody else will."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def guard(self, worker: Worker, grace: float) -> None:
        """From now on signals stop this worker."""
        self._grace = grace
        self._worker = worker

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if number == HUP and self._can_restart:
            self._heed_restart()
        elif self._worker is None:
            os._exit(0)  # nothing has begun; whatever the app's import does must not hold it up
        else:
            self._restart = False
            self._worker.stop(0.0 if self._asked or number == QUIT else self._grace)
            self._asked = True

    def _heed_restart(self) -> None:
        if self._worker is None:
            start_again()
        elif not self._asked:
            self._restart = True
            self._worker.stop(inf)

    def end(self, status: int) -> NoReturn:
        """The worker has stopped: end the process, or start it again."""
        if self._restart:
            start_again()
        sys.exit(status)


def start_again() -> NoReturn:
    """Let this process be what it was when it was started: the same command, with the same id."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
