"""Context: what a running task finds in ``self.request``; and which task runs here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..store.claim import Claim
from .told import Told


class Context:
    """The call that runs: its ``id``, ``args`` and ``kwargs``, and how often it was retried.

    ``called_directly`` is true where a task was called like a function, ``is_eager`` where
    ``apply()`` runs it. What concerns groups, messages and times is always none.
    """

    def __init__(
        self,
        task: str | None = None,
        id: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        retries: int = 0,
        queue: str | None = None,
        headers: dict[str, Any] | None = None,
        ignore_result: bool = False,
        is_eager: bool = False,
    ) -> None:
        self.task = task
        self.id = self.root_id = self.correlation_id = id
        self.parent_id: str | None = None
        self.args = list(args)
        self.kwargs = kwargs or {}
        self.retries = retries
        self.headers = headers
        self.ignore_result = ignore_result
        self.is_eager = is_eager
        self.called_directly = id is None
        self.hostname = socket.gethostname()
        self.group = self.chord = self.chain = self.callbacks = self.errbacks = None
        self.eta = self.expires = self.timelimit = self.origin = self.reply_to = None
        self.delivery_info = {"exchange": "", "routing_key": queue, "priority": None}
        self.told: Told | None = None

    def __repr__(self) -> str:
        return f"<Context: {self.task} {self.id}>"

    def get(self, key: str, default: Any = None) -> Any:
        """One of its values by name."""
        return getattr(self, key, default)


def request_of(
    claim: Claim, call: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Context:
    """The request of a claimed job; ``call`` is what was said of it beside the arguments."""
    return Context(
        claim.task,
        call.get("id", claim.id),
        args,
        kwargs,
        retries=claim.failures,
        queue=claim.queue,
        headers=call.get("headers"),
        ignore_result=call.get("ignore_result", False),
    )


_at_work: ContextVar[tuple[Any, Context] | None] = ContextVar("celery_compat.at_work", default=None)


@contextmanager
def at_work(task: Any, request: Context) -> Iterator[None]:
    """Make this the current task and its request."""
    token = _at_work.set((task, request))
    try:
        yield
    finally:
        _at_work.reset(token)


def task_at_work() -> Any:
    """The task that runs here; ``None`` outside of one."""
    working = _at_work.get()
    return None if working is None else working[0]


def request_at_work(task: Any) -> Context:
    """The request that this task runs for; an empty one if it does not run here."""
    working = _at_work.get()
    return Context() if working is None or working[0] is not task else working[1]
