"""Announcer: has tokens sent by a thread of its own, so that no view waits for a broker."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable

from ...store.base import Store, WorkerInfo
from .names import QueueNames
from .post import Post

logger = logging.getLogger("flask_backburner")

KNOWN_SECONDS = 1.0
UNKNOWN_SECONDS = 0.1
LAST_SECONDS = 3.0
"""So long the end of a process waits for what is being sent."""


class Announcer:
    """Says which queues have work, to as many workers as could serve it at once.

    What cannot be said now is dropped: upkeep says again what waits unserved.
    """

    def __init__(self, post: Post, names: QueueNames, store: Callable[[], Store]) -> None:
        self._post = post
        self._names = names
        self._store = store
        self._trouble = ""
        self._workers: list[WorkerInfo] = []
        self._looked_at = float("-inf")
        self._begin()
        _announcers.add(self)

    def _begin(self) -> None:
        self._pending: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._news = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    def announce(self, queue: str, jobs: int) -> None:
        """Have it said soon; returns at once."""
        with self._lock:
            self._pending[queue] += jobs
            if self._thread is None:
                self._ending = False
                self._thread = threading.Thread(
                    target=self._serve, name="backburner-announcer", daemon=True
                )
                self._thread.start()
        self._news.set()

    def announce_now(self, queue: str) -> bool:
        """Have a token sent for a queue before this returns; whether one is on its way.

        It is not while another thread sends: that one may wait for a broker that is away.
        """
        if not self._sending.acquire(blocking=False):
            return False
        try:
            return self._try_to_send(Counter({queue: 1}), again=False)
        finally:
            self._sending.release()

    def _serve(self) -> None:
        while not self._ending:
            self._news.wait()
            self._news.clear()
            with self._sending:
                self._try_to_send(self._taken())
        self._post.close()

    def _taken(self) -> Counter[str]:
        with self._lock:
            pending, self._pending = self._pending, Counter()
        return pending

    def _try_to_send(self, pending: Counter[str], *, again: bool = True) -> bool:
        """Whether tokens were sent; over a fresh connection if that helps and ``again`` says so."""
        try:
            tokens = self._tokens(pending)
            for name, wanted in tokens.items():
                self._post.fill(name, wanted, again=again)
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}")
            return False
        self._trouble = ""
        return bool(tokens)

    def _say(self, trouble: str) -> None:
        """Once, and not at every try: what is wrong, and that nothing is lost."""
        if not self._trouble:
            logger.warning(
                "Jobs cannot be announced now; workers find them once they can: %s", trouble
            )
        self._trouble = trouble

    def _tokens(self, pending: Counter[str]) -> Counter[str]:
        """How many tokens each of the broker's queues is to hold."""
        tokens: Counter[str] = Counter()
        for queue, jobs in pending.items():
            for name, room in self._places(queue):
                tokens[name] = max(tokens[name], min(room, tokens[name] + jobs))
        return tokens

    def _places(self, queue: str) -> Iterable[tuple[str, int]]:
        """Where those listen who serve the queue, and how many jobs they could run at a time."""
        workers = self._living_workers()
        every = sum(each.threads for each in workers if each.queues is None)
        some = sum(each.threads for each in workers if queue in (each.queues or ()))
        return [
            (name, room)
            for name, room in ((self._names.everything, every), (self._names.of(queue), some))
            if room
        ]

    def _living_workers(self) -> list[WorkerInfo]:
        known = KNOWN_SECONDS if self._workers else UNKNOWN_SECONDS
        if time.monotonic() - self._looked_at > known:
            self._workers = self._store().workers()
            self._looked_at = time.monotonic()
        return self._workers

    def close(self) -> None:
        """Send what is pending, if that is possible now, and end the thread. Repeatable."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._ending = True
        self._news.set()
        if thread is not None:
            thread.join(LAST_SECONDS)

    def before_fork(self) -> None:
        """Have no connection while the process forks: two would read from one socket."""
        self._sending.acquire()
        self._post.close()

    def after_fork(self) -> None:
        self._sending.release()

    def forget(self) -> None:
        """In a forked child, where the thread does not run."""
        self._begin()


_announcers: weakref.WeakSet[Announcer] = weakref.WeakSet()
_forking: list[Announcer] = []


def _before_fork() -> None:
    _forking[:] = _announcers
    for announcer in _forking:
        announcer.before_fork()


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().after_fork()


def _after_fork_in_child() -> None:
    while _forking:
        _forking.pop().forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
