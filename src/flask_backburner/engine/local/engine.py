"""LocalEngine: jobs run on this machine, in a worker process or in threads."""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from ...errors import BackburnerError
from ...installation import Installation
from ..base import Engine
from .address import Address, command_line_address, find_address
from .owner import Owner
from .processes import CAN_FORK
from .wakeup import Caller, runtime_folder
from .worker import Worker

CHILD_PATIENCE = 5.0


class LocalEngine(Engine):
    """Provides what ``BACKBURNER_WORKER`` says: a child process, threads, or nothing."""

    def __init__(self, installation: Installation) -> None:
        settings = installation.settings
        self._installation = installation
        self._told = settings.app or command_line_address()
        self._caller = Caller(runtime_folder(settings.place, settings.name))
        self._address: Address | None = None
        self._unloadable: str | None = None
        self._lock = threading.Lock()
        self._started = False
        self._owner: Owner | None = None
        self._threads: ThreadsWorker | None = None
        _engines.add(self)

    def announce(self, queue: str, jobs: int) -> None:
        if jobs:
            self._caller.call_idle(jobs)
        else:
            self._caller.call_all()

    def check_process_jobs(self) -> None:
        # Elsewhere other processes answer for it; a test runs them in its own.
        if self._installation.settings.worker == "external" or self._installation.app.testing:
            return
        if not CAN_FORK:
            raise BackburnerError(
                "A job with process=True cannot be run on this system, which cannot fork processes "
                "(Windows). Leave process=True out: the job then runs in a thread."
            )
        if self._unloadable is not None:
            raise BackburnerError(
                "A job with process=True cannot be run: the app could not be loaded as "
                f"{self._unloadable!r} by another process, which the log has told why. Set "
                "BACKBURNER_APP to its import string, such as 'shop:app' or 'shop:create_app()'."
            )
        if self._address is None:
            self._address = find_address(self._installation.app, self._told)
        if self._address is None:
            raise BackburnerError(
                "A job with process=True cannot be run: the app's import string, by which the "
                "job's process would load it, is not known. Set BACKBURNER_APP to it, such as "
                "'shop:app' or 'shop:create_app()'."
            )

    def start(self) -> None:
        if self._started:
            return
        with self._lock:
            if not self._started:
                self._start()
                self._started = True

    def _start(self) -> None:
        mode = self._installation.settings.worker
        if mode == "external":
            return
        if mode == "auto" and self._installation.app.testing:
            self._start_threads(None)
            return
        address = find_address(self._installation.app, self._told)
        if mode == "threads":
            self._start_threads(address)
            return
        if address is None:
            self._without_child("the app's import string is not known")
            return
        self._owner = Owner(self._installation, address, lambda: self._not_loaded(address.text))
        self._owner.start()

    def _not_loaded(self, address: str) -> None:
        with self._lock:
            if self._owner is not None:
                self._owner = None
                self._unloadable = address
                self._without_child(
                    f"its child process could not load the app as {address!r} (see above)"
                )

    def _without_child(self, reason: str) -> None:
        """Say it, and run jobs in threads if the choice was left to us."""
        must = self._installation.settings.worker == "process"
        consequence = (
            "No jobs are run"
            if must
            else "Jobs run in threads of this web process, which slow it down"
        )
        self._installation.app.logger.warning(
            "%s, because %s. Set BACKBURNER_APP to the app's import string, such as 'shop:app' "
            "or 'shop:create_app()', or BACKBURNER_WORKER to 'threads' or 'external'.",
            consequence,
            reason,
        )
        if not must:
            self._start_threads(None)

    def _start_threads(self, address: Address | None) -> None:
        self._threads = ThreadsWorker(self._installation, address)
        self._threads.start()

    def stop(self, grace: float) -> None:
        with self._lock:
            owner, self._owner = self._owner, None
            threads, self._threads = self._threads, None
            self._started = False
        if threads is not None:
            threads.stop(grace)
        if owner is not None:
            owner.stop(grace + CHILD_PATIENCE)
        self._caller.close()

    def forget(self) -> None:
        """In a forked child, where nothing of it runs, and a lock may look held for ever."""
        self._lock = threading.Lock()
        self._owner, self._threads, self._started = None, None, False
        self._caller.renew()


class ThreadsWorker:
    """A worker in threads of this process, which hands its jobs back when the process ends."""

    def __init__(self, installation: Installation, address: Address | None = None) -> None:
        self._pid = os.getpid()
        self._grace = installation.settings.grace
        self._worker = Worker(installation, address=address)
        self._thread = threading.Thread(
            target=self._worker.run, name="backburner-worker", daemon=True
        )

    def start(self) -> None:
        atexit.register(self._end_with_process)
        self._thread.start()

    def _end_with_process(self) -> None:
        if self._pid == os.getpid():
            self.stop(self._grace)

    def stop(self, grace: float) -> None:
        atexit.unregister(self._end_with_process)
        self._worker.stop(grace)
        self._thread.join()


_engines: weakref.WeakSet[LocalEngine] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
