"""The exceptions of ``celery.exceptions`` that code catches, raises or looks at.

::

    NotSupported (NotImplementedError)   a part of Celery that is not here, named
    CeleryError
    ├── ImproperlyConfigured             conf that cannot be used
    ├── TimeoutError                     get() waited long enough
    ├── TaskPredicate
    │   ├── Retry                        raised by self.retry()
    │   └── Ignore                       leave the state as update_state() set it
    └── TaskError
        ├── NotRegistered (KeyError)     no task of that name
        ├── MaxRetriesExceededError      self.retry() was called once too often
        └── TaskRevokedError             the task was revoked, or expired

    SoftTimeLimitExceeded                raised in a task by update_state()
    TimeLimitExceeded, WorkerLostError   results of tasks that ended so

``OperationalError`` is what starting a task raises when the store cannot be used.
"""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any

from ..errors import BackburnerError, StoreError

OperationalError = StoreError


class NotSupported(BackburnerError, NotImplementedError):
    """A part of Celery that is not here: ``name`` says which, the message why and what instead."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"flask_backburner.celery_compat has no {name}: {reason}")
        self.name = name


class CeleryError(Exception):
    """The root of Celery's own errors."""


class ImproperlyConfigured(CeleryError):
    """A configuration that cannot be used."""


class TimeoutError(CeleryError, builtins.TimeoutError):
    """The result was not there in time."""


class TaskPredicate(CeleryError):
    """Says how a task goes on, rather than that it failed."""


class Retry(TaskPredicate):
    """The task is to be tried again; ``exc`` is why, ``when`` seconds from now or a time."""

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | datetime | None = None,
        *,
        delay: float = 0.0,
        retries: int | None = None,
    ) -> None:
        """``delay`` is in seconds; of ``retries`` in all, none means no end."""
        super().__init__(message or f"Task can be retried{f': {exc!r}' if exc else ''}")
        self.message = message
        self.exc = exc
        self.when = when
        self.delay = delay
        self.retries = retries


class Ignore(TaskPredicate):
    """Raise it to leave the state as it is, such as ``update_state()`` has set it."""


class Reject(TaskPredicate):
    """Would hand a message back to the broker; there is none."""

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        raise NotSupported(
            "Reject",
            "there is no broker's message to hand back. Raise self.retry() to try again, or any "
            "other exception to fail.",
        )


class TaskError(CeleryError):
    """Something about a task."""


class NotRegistered(TaskError, KeyError):
    """No task of this name is known in this process."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"No task is named {self.name!r} in this process. Import the module that defines it, "
            "or name that module in `include`."
        )


class MaxRetriesExceededError(TaskError):
    """The task may not be retried any more."""


class TaskRevokedError(TaskError):
    """The task was revoked before it ended, or expired before it began."""


class SoftTimeLimitExceeded(Exception):
    """The task has run for longer than its ``soft_time_limit``."""


class TimeLimitExceeded(Exception):
    """The task has run for longer than its ``time_limit`` and was stopped."""


class WorkerLostError(Exception):
    """The processes that ran the task died, once too often."""
