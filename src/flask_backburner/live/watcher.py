"""Watcher: the one thread of a process that looks for news and wakes those who wait for it."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..errors import StoreError
from ..store.base import Mark, Store
from .memo import Memo

SHORTEST = 0.02
LONGEST = 0.05
SHARE = 25
AT_ONCE = 100
HANG_UP_LOOK = 0.5
TROUBLE_PAUSE = 1.0

logger = logging.getLogger("flask_backburner")


class Found:
    """What a look at a job found: its ``mark``, none if it is gone; and what was read since."""

    __slots__ = ("mark", "memo")

    def __init__(self, mark: Mark | None, memo: Memo) -> None:
        self.mark = mark
        self.memo = memo


class Watch:
    """One who waits for news of some jobs.

    ``over`` says that nothing more is to be waited for: the client hung up, or the server ends.
    """

    __slots__ = ("_changed", "_found", "hung_up", "ids", "over")

    def __init__(
        self, ids: Sequence[str], hung_up: Callable[[], bool], found: dict[str, Found]
    ) -> None:
        self.ids = ids
        self.hung_up = hung_up
        self.over = False
        self._found = found
        self._changed = threading.Event()

    def wait(self, seconds: float) -> None:
        """Return when something may have changed since the last wait, or the time is up."""
        self._changed.wait(seconds)
        self._changed.clear()

    def wake(self) -> None:
        self._changed.set()

    def end(self) -> None:
        self.over = True
        self.wake()

    def found(self, id: str) -> Found | None:
        """The job as last seen; ``None`` before the first look."""
        return self._found.get(id)


class Watcher:
    """Looks at all jobs that somebody watches, in a thread that lives while there are any."""

    def __init__(self, store: Callable[[], Store], ending: Callable[[], bool]) -> None:
        self._store = store
        self._ending = ending
        self.renew()
        _watchers.add(self)

    def renew(self) -> None:
        """Forget all watches and the thread, as in a forked child, where neither is."""
        # Nothing is waited for under this lock: it may be a real one among greenlets.
        self._lock = threading.Lock()
        self._watches: dict[str, set[Watch]] = {}
        self._found: dict[str, Found] = {}
        self._thread: threading.Thread | None = None
        self._asked_at = 0.0
        self._trouble = ""

    @contextmanager
    def watch(self, ids: Sequence[str], hung_up: Callable[[], bool]) -> Iterator[Watch]:
        """Be told of these jobs' news, and when ``hung_up`` says that nobody listens any more."""
        watch = Watch(ids, hung_up, self._found)
        try:
            self._add(watch)
            yield watch
        finally:
            self._remove(watch)

    def _add(self, watch: Watch) -> None:
        watch.over = self._ending()
        with self._lock:
            for id in watch.ids:
                self._watches.setdefault(id, set()).add(watch)
            if self._thread is not None:
                return
            # Made when needed: while it is held greenlets may take turns, so it must be theirs.
            self._reading = threading.Lock()
            thread = self._thread = threading.Thread(
                target=self._run, name="backburner-watcher", daemon=True
            )
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise

    def _remove(self, watch: Watch) -> None:
        with self._lock:
            for id in watch.ids:
                watches = self._watches.get(id, set())
                watches.discard(watch)
                if not watches:
                    self._watches.pop(id, None)
                    self._found.pop(id, None)

    def _run(self) -> None:
        while ids := self._wanted():
            began = time.monotonic()
            pause = LONGEST if self._tried_look(ids) else TROUBLE_PAUSE
            spent = time.monotonic() - began
            # Many jobs are looked at less often, so that it stays a small part of the time.
            time.sleep(min(pause, max(SHORTEST, SHARE * spent)))

    def _wanted(self) -> list[str]:
        """Nothing for a thread that is to end: there is nobody, or another has taken over."""
        with self._lock:
            if self._thread is not threading.current_thread():
                return []
            if not self._watches:
                self._thread = None
            return list(self._watches)

    def _tried_look(self, ids: list[str]) -> bool:
        try:
            if self._ending():
                self.end()
            self._ask_for_hang_ups()
            for first in range(0, len(ids), AT_ONCE):
                self._look(ids[first : first + AT_ONCE])
        except Exception as error:
            self._complain(error)
            return False
        self._trouble = ""
        return True

    def _look(self, ids: list[str]) -> None:
        marks = self._store().marks(ids)
        for id in ids:
            mark, before = marks.get(id), self._found.get(id)
            if before is None or before.mark != mark:
                self._tell(id, Found(mark, Memo(self._reading)))

    def _tell(self, id: str, found: Found) -> None:
        with self._lock:
            if id not in self._watches:
                return
            self._found[id] = found
            watches = list(self._watches[id])
        for watch in watches:
            watch.wake()

    def _ask_for_hang_ups(self) -> None:
        now = time.monotonic()
        if now - self._asked_at >= HANG_UP_LOOK:
            self._asked_at = now
            for watch in self._all():
                if watch.hung_up():
                    watch.end()

    def _all(self) -> set[Watch]:
        with self._lock:
            return set().union(*self._watches.values())

    def _complain(self, error: Exception) -> None:
        """Say what is wrong once, not at every look."""
        trouble, self._trouble = self._trouble, repr(error)
        if trouble == self._trouble:
            return
        if isinstance(error, StoreError):
            logger.error("Live updates wait for their store: %s", error)
        else:
            logger.error("A look for news of jobs failed", exc_info=error)

    def end(self) -> None:
        """Tell all who wait that it is over."""
        for watch in self._all():
            watch.end()

    def close(self) -> None:
        """Let nobody wait any longer, and end the thread. Repeatable; it may be used again."""
        self.end()
        with self._lock:
            thread, self._thread = self._thread, None
            self._watches.clear()
            self._found.clear()
        if thread is not None and thread.is_alive():
            thread.join()


_watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for watcher in list(_watchers):
        watcher.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
