"""Upkeep: the periodic duties that one elected process does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from .files import FileFolder
from .store.base import Store
from .trouble import Trouble

ROLE = "upkeep"
INTERVAL = 0.2
RETENTION_INTERVAL = 10.0
SWEEP_INTERVAL = 3600.0
SWEEP_AGE = 86_400.0
CHUNK = 200
STAND_IN_INTERVAL = 5.0
NAMED = 5
"""So many jobs are named in a line of the log."""

logger = logging.getLogger("flask_backburner")


class Upkeep:
    """Rescues jobs of dead workers and keeps house, now and then.

    Every worker has one, in a thread of its own so that no duty, however long, delays a job;
    the store elects the one that does them.
    """

    def __init__(
        self,
        store: Store,
        files: FileFolder,
        tell: Callable[[Iterable[str]], None] = lambda ids: None,
        hang: float | None = None,
    ) -> None:
        """``tell`` is given the ids of jobs that were rescued, of which some are over.

        So many seconds of a worker's silence count as a ``hang``.
        """
        self._store = store
        self._files = files
        self._tell = tell
        self._hang = hang
        self._retention_due = 0.0
        self._sweep_due = 0.0
        self._stand_in_interval = min(STAND_IN_INTERVAL, (hang or STAND_IN_INTERVAL) / 4)
        self._stand_in_due = time.monotonic() + self._stand_in_interval
        self._rescue_trouble = Trouble("The rescue of jobs")
        self._duties = (
            (self._rescue, self._rescue_trouble),
            (self._retain, Trouble("Retention")),
            (self._sweep, Trouble("The sweep of files")),
            (store.tend, Trouble("Housekeeping")),
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backburner-upkeep", daemon=True)

    def start(self) -> None:
        """Do the duties from now on."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.work()
            self._stopping.wait(INTERVAL)

    def work(self) -> None:
        """Do the duties once, if this process is the one to do them; one that fails stops none."""
        for duty, trouble in self._duties:
            with _told(trouble):
                if self._store.elect(ROLE):
                    duty()
        self._stand_in()

    def _stand_in(self) -> None:
        """Rescue jobs now and then without being elected: who is may be the one that hangs."""
        if time.monotonic() >= self._stand_in_due:
            self._stand_in_due = time.monotonic() + self._stand_in_interval
            with _told(self._rescue_trouble):
                self._rescue()

    def _rescue(self) -> None:
        rescued = self._store.rescue(self._hang)
        if rescued:
            logger.warning(
                "Took up jobs whose worker had died or hung, or whose time was up: %s",
                _few(rescued),
            )
            self._tell(rescued)

    def _retain(self) -> None:
        """Forget some jobs whose time is up; if there may be more, go on soon."""
        if time.monotonic() < self._retention_due:
            return
        if not forget_jobs(self._store, self._files):
            self._retention_due = time.monotonic() + RETENTION_INTERVAL

    def _sweep(self) -> None:
        """Remove the files of jobs that do not exist: of a process that died before its job did."""
        if time.monotonic() < self._sweep_due:
            return
        self._sweep_due = time.monotonic() + SWEEP_INTERVAL
        ids = self._files.ids(idle=SWEEP_AGE)
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            for id in set(some).difference(self._store.marks(some)):
                self._files.remove(id)

    def stop(self, patience: float) -> None:
        """Let another process do the duties. Repeatable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        self._store.resign(ROLE)


def _few(ids: Sequence[str]) -> str:
    """The first of them, and how many there are besides."""
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


@contextmanager
def _told(trouble: Trouble) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        trouble.tell(error)
    else:
        trouble.over()


def forget_jobs(store: Store, files: FileFolder, before: float | None = None) -> int:
    """Forget a chunk of finished jobs and remove their files; gives back how many."""
    ids = store.purge(CHUNK, before)
    for id in ids:
        files.remove(id)
    return len(ids)
