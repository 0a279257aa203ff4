"""LocalEngine: jobs run on this machine, in a worker process or in threads."""

from __future__ import annotations

import os
import threading

from ...installation import Installation
from ..base import Engine
from .address import command_line_address, find_address
from .owner import Owner
from .wakeup import Caller, runtime_folder
from .worker import Worker

CHILD_PATIENCE = 5.0


class LocalEngine(Engine):
    """Provides what ``BACKBURNER_WORKER`` says: a child process, threads, or nothing."""

    def __init__(self, installation: Installation) -> None:
        settings = installation.settings
        self._installation = installation
        self._told = settings.app or command_line_address()
        self._caller = Caller(runtime_folder(settings.path, settings.name))
        self._pid = 0
        self._lock = threading.Lock()
        self._owner: Owner | None = None
        self._threads: ThreadsWorker | None = None

    def announce(self, queue: str, jobs: int) -> None:
        if jobs:
            self._caller.call_idle(jobs)
        else:
            self._caller.call_all()

    def start(self) -> None:
        if self._pid == os.getpid():
            return
        if self._pid:
            self._lock = threading.Lock()  # in a forked child it may look held for ever
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._start()

    def _start(self) -> None:
        self._owner = self._threads = None
        mode = self._installation.settings.worker
        if mode == "external":
            return
        if mode == "threads" or (mode == "auto" and self._installation.app.testing):
            self._start_threads()
            return
        address = find_address(self._installation.app, self._told)
        if address is None:
            self._without_child(mode, "the app's import string is not known")
            return
        reason = f"its child process could not load the app as {address!r} (see above)"
        self._owner = Owner(self._installation, address, lambda: self._without_child(mode, reason))
        self._owner.start()

    def _without_child(self, mode: str, reason: str) -> None:
        """Say it, and run jobs in threads if the choice was left to us."""
        consequence = (
            "No jobs are run"
            if mode == "process"
            else "Jobs run in threads of this web process, which slow it down"
        )
        self._installation.app.logger.warning(
            "%s, because %s. Set BACKBURNER_APP to the app's import string, such as 'shop:app' "
            "or 'shop:create_app()', or BACKBURNER_WORKER to 'threads' or 'external'.",
            consequence,
            reason,
        )
        if mode == "auto":
            self._start_threads()

    def _start_threads(self) -> None:
        self._threads = ThreadsWorker(self._installation)
        self._threads.start()

    def stop(self, grace: float) -> None:
        owner, self._owner = self._owner, None
        threads, self._threads = self._threads, None
        ours, self._pid = self._pid == os.getpid(), 0
        if ours and threads is not None:
            threads.stop(grace)
        if ours and owner is not None:
            owner.stop(grace + CHILD_PATIENCE)
        self._caller.close()


class ThreadsWorker:
    """A worker in threads of this process."""

    def __init__(self, installation: Installation) -> None:
        self._worker = Worker(installation)
        self._thread = threading.Thread(
            target=self._worker.run, name="backburner-worker", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace: float) -> None:
        self._worker.stop(grace)
        self._thread.join()
