"""CeleryEngine: Celery's workers run the jobs, which live in Redis."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
import weakref
from collections.abc import Callable
from math import inf
from types import FrameType
from typing import Any, NoReturn, cast

import billiard
from billiard import pool as billiard_pool
from celery import Celery
from celery.worker import state

from ...errors import StoreError
from ...installation import Installation
from ...trouble import Trouble
from ..base import Engine
from ..local.kinship import limit_memory
from ..local.shutdown import HUP, INT, QUIT, TERM, start_again
from ..local.wakeup import runtime_folder
from .announcer import Announcer
from .carrier import Carrier
from .checks import NotReady, check_worker, has_processes
from .closing import Closing
from .names import QueueNames
from .overseer import Overseer
from .post import Post
from .roster import Roster
from .step import step_of
from .tokens import forget_other_tasks, make_celery_app

_TALKERS = {
    # They have a line for every message, which says nothing of jobs.
    "celery.app.trace": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
    # Has thirty for every process that ends while it has a token, also if we have ended it.
    "celery.worker.request": logging.CRITICAL,
}
EX_RECYCLE = 0x9B
"""Celery starts another process for one that ended so, and does not complain."""

LAST_LOOKS = 10
"""So often a process that ends looks, each tenth of a second, whether the worker has taken what it
sent. After a lost connection it never has, and for Celery the end takes half a minute.
"""

LAST_SECONDS = 2.0
LOOK = 0.05

logger = logging.getLogger("flask_backburner")


class CeleryEngine(Engine):
    """Announces work by messages to Celery's workers; within such a worker, runs it.

    A message says no more than that there is work. Who may run what is the store's knowledge.
    """

    def __init__(self, installation: Installation) -> None:
        settings = installation.settings
        self._installation = installation
        self.names = QueueNames(settings.name)
        self.celery_app: Celery = make_celery_app(settings, self.names, self.carry)
        steps: Any = self.celery_app.steps
        steps["worker"].add(step_of(self))
        self.grace = settings.grace
        self._announcer = Announcer(Post(self.celery_app), self.names, lambda: installation.store)
        folder = runtime_folder(settings.place, settings.name)
        self._roster = Roster(os.path.join(folder or settings.files, "celery"))
        self._closing = Closing()
        self._kin = secrets.token_hex(8)
        self._size = self._offered = 1
        self._queues: frozenset[str] | None = settings.queues
        self._own_process = False
        self._asked = self._restart = False
        self._overseer: Overseer | None = None
        self._carrier: Carrier | None = None
        self._making = threading.Lock()
        self._trouble = Trouble("The worker")
        _engines.add(self)

    def announce(self, queue: str, jobs: int) -> None:
        if jobs:
            self._announcer.announce(queue, jobs)

    def check_process_jobs(self) -> None:
        """Every job has a process of its own, in workers that start with nothing else."""

    def start(self) -> None:
        """Workers are started elsewhere: by ``flask jobs worker`` or ``celery worker``."""

    def stop(self, grace: float) -> None:
        self._announcer.close()

    # Within a worker

    def work(
        self,
        *,
        size: int,
        queues: frozenset[str] | None,
        pool: str,
        grace: float,
    ) -> int:
        """Be a worker until told to stop; gives back the process's exit code."""
        self.grace = grace
        worker = self.celery_app.Worker(
            queues=self.names.for_worker(queues),
            concurrency=size,
            pool_cls=pool,
            loglevel="INFO",
            quiet=True,
        )
        worker.start()
        return int(worker.exitcode or self._closing.handed_back > 0)

    def heed_signals(self, **_: object) -> None:
        """Stop as our own worker does, in whichever way this one was started.

        Celery would kill its processes at the second signal, and with them what they run.
        """
        for number in filter(None, (TERM, INT, QUIT)):
            signal.signal(number, self._heed)
        if HUP is not None and signal.getsignal(HUP) is not signal.SIG_IGN:
            signal.signal(HUP, self._heed_restart)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        self._restart = False
        self.close_worker(at_once=self._asked or number == QUIT)
        self._asked = True
        state.should_stop = 0

    def _heed_restart(self, number: int, frame: FrameType | None) -> None:
        """Let all end that runs, then start the same command again."""
        if not self._asked:
            self._restart = True
            self._closing.begin(inf)
            state.should_stop = 0

    def prepare(self, *, size: int, names: list[str], pool: type[Any]) -> None:
        """Called before the worker makes its pool. Ends the process with words if it cannot."""
        for talker, level in _TALKERS.items():
            logging.getLogger(talker).setLevel(level)
        try:
            check_worker(self._installation, self.celery_app, pool)
            self._queues = self.names.served(names)
            self._installation.store.counters()
        except (NotReady, StoreError, ValueError) as error:
            raise SystemExit(f"Error: {error}") from None
        if has_processes(pool):
            # Children know the app by being copies of this process, tasks and all.
            cast(Any, billiard).set_start_method("fork", force=True)  # it is made at import
        else:
            self._size = size  # jobs at a time in this process
        self._offered = size
        forget_other_tasks(self.celery_app)

    def begin_worker(self, renew: Callable[[], None]) -> None:
        """The pool stands; ``renew`` has it look for dead children."""
        self._overseer = Overseer(
            self._installation,
            self._roster,
            self.announce,
            renew,
            self._closing,
            size=self._offered,
            queues=self._queues,
            kin=self._kin,
        )
        self._overseer.start()

    def close_worker(self, *, at_once: bool) -> None:
        """Claim no more; running jobs have the grace, or none. Also in a signal's handler."""
        if at_once or not self._closing.begun:
            self._closing.begin(0.0 if at_once else self.grace)

    def await_children(self) -> None:
        """Let children hand back what they run, before they are ended."""
        deadline = time.monotonic() + LAST_SECONDS
        while any(self._roster.living(self._kin)) and time.monotonic() < deadline:
            time.sleep(LOOK)

    def end_worker(self, **_: object) -> None:
        """The pool has ended."""
        overseer, self._overseer = self._overseer, None
        self._leave_carrier()
        if overseer is not None:
            overseer.stop()
            self._installation.close()
            if self._restart:
                start_again()

    def enter_child(self, **_: object) -> None:
        """This is a process of the pool, which runs one job at a time."""
        pool: Any = billiard_pool
        pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_LOOKS
        memory = self._installation.settings.process_memory
        if memory is not None:
            limit_memory(memory)
        self._own_process = True
        self._installation.forget_store()

    def leave_child(self, **_: object) -> None:
        self._leave_carrier()

    def _leave_carrier(self) -> None:
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.close()

    def carry(self) -> None:
        """A token has come to this process."""
        try:
            carrier = self._ready_carrier()
        except (StoreError, OSError) as error:  # what waits is announced again
            self._trouble.tell(error)
            return
        if self._trouble.over():
            logger.info("The worker goes on")
        carrier.carry()

    def _ready_carrier(self) -> Carrier:
        with self._making:
            if self._carrier is None:
                self._carrier = Carrier(
                    self._installation,
                    self._roster.folder,
                    self._closing,
                    self._announcer.announce_now,
                    size=self._size,
                    queues=self._queues,
                    kin=self._kin,
                    own_process=self._own_process,
                    end=self._end_process,
                )
            return self._carrier

    def _end_process(self) -> NoReturn:
        """End this process, whose code does not stop, after its jobs were settled."""
        self.end_worker()
        os._exit(EX_RECYCLE if self._own_process else 1)

    def forget(self) -> None:
        """In a forked child, where nothing of it runs."""
        self._making = threading.Lock()
        self._overseer, self._carrier = None, None


_engines: weakref.WeakSet[CeleryEngine] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
