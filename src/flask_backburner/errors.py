"""Everything that Flask-Backburner raises.

::

    BackburnerError
    ├── ConfigError (ValueError)        a BACKBURNER_* value that cannot be used
    ├── DefinitionError (TypeError)     a function or an option that cannot make a task
    ├── CallError (TypeError)           a missing or an extra argument
    ├── ArgumentError (ValueError)      an argument that would not arrive as it was passed
    │   └── ArgumentsTooLarge           arguments beyond BACKBURNER_MAX_ARGS_BYTES
    ├── ResultError (ValueError)        a result that cannot be stored
    ├── JobError                        raised *by* tasks: words meant for the user
    ├── JobNotFound (LookupError)       no such job (or not yours)
    │   └── JobForgotten                it existed; its time was up
    ├── JobNotDone                      a result asked for too early
    ├── JobDone                         news of an external job that is over
    ├── JobFailed                       a result asked for of a job that has none
    ├── JobNotRetryable                 only a failed or cancelled job can be put back
    ├── AliasTaken                      another job has the caller's own id
    ├── NoCurrentJob (RuntimeError)     current_job used outside a job
    ├── QueueFull                       more than BACKBURNER_MAX_QUEUED jobs wait
    └── StoreError                      the store cannot be used now
        ├── StoreBusy                   somebody holds it for longer than we wait
        ├── StoreFull                   no room left on the device
        └── StoreCorrupt                the file is damaged

    JobInterrupted (BaseException)      ends running code at its next progress call
    ├── JobCancelled                    the job was cancelled
    │   └── JobTimedOut                 it has run for longer than its task's timeout
    ├── JobRetry                        the job asked to be tried again
    └── JobReleased                     the job goes on elsewhere

``JobInterrupted`` is no ``Exception`` so that a task's own ``except Exception``
does not swallow it. A wait that took too long is the built-in ``TimeoutError``.
"""

from __future__ import annotations


class BackburnerError(Exception):
    """The root of all errors of this package."""


class ConfigError(BackburnerError, ValueError):
    """A configuration value cannot be used: ``key`` names it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class DefinitionError(BackburnerError, TypeError):
    """A task cannot be defined like this."""


class CallError(BackburnerError, TypeError):
    """A task was started with a missing or an extra argument."""

    def __init__(self, task: str, message: str) -> None:
        super().__init__(message)
        self.task = task


class ArgumentError(BackburnerError, ValueError):
    """An argument's value cannot travel: ``parameter`` names it, ``expected`` says what can."""

    def __init__(self, task: str, parameter: str, message: str, *, expected: str = "") -> None:
        super().__init__(message)
        self.task = task
        self.parameter = parameter
        self.expected = expected


class ArgumentsTooLarge(ArgumentError):
    """The arguments together are larger than ``BACKBURNER_MAX_ARGS_BYTES``."""


class ResultError(BackburnerError, ValueError):
    """A task's result cannot be stored."""


class JobError(BackburnerError):
    """Raise this in a task to fail its job with words that its user may read."""


class JobNotFound(BackburnerError, LookupError):
    """There is no job with this id that you may see."""

    def __init__(self, id: str, message: str | None = None) -> None:
        super().__init__(message or f"There is no job {id!r}. Check the id; ids are never reused.")
        self.id = id


class JobForgotten(JobNotFound):
    """There was a job with this id; it was forgotten when its time was up."""

    def __init__(self, id: str, owner: str | None = None) -> None:
        super().__init__(id, f"The job {id!r} is over and was forgotten when its time was up.")
        self.owner = owner


class JobNotDone(BackburnerError):
    """The job has no result yet."""

    def __init__(self, id: str, state: str) -> None:
        super().__init__(
            f"The job {id!r} is {state} and has no result yet. Call wait() first, or ask later."
        )
        self.id = id
        self.state = state


class JobDone(BackburnerError):
    """The job is over and stays as it is: nothing more can be said of it."""

    def __init__(self, id: str, state: str) -> None:
        super().__init__(f"The job {id!r} has {state} already; a final state never changes.")
        self.id = id
        self.state = state


class JobFailed(BackburnerError):
    """The job ended without a result: ``code`` and ``reason`` say why."""

    def __init__(self, id: str, code: str, reason: str) -> None:
        super().__init__(f"The job {id!r} has no result: {reason} ({code})")
        self.id = id
        self.code = code
        self.reason = reason


class JobNotRetryable(BackburnerError):
    """The job cannot be put back: it is not over, has succeeded, or is an external one."""

    def __init__(self, id: str, state: str, reason: str | None = None) -> None:
        super().__init__(
            f"The job {id!r} is {state}{reason or ''}, and only a failed or cancelled job can be "
            "retried. To run it once more, start it anew."
        )
        self.id = id
        self.state = state


class AliasTaken(BackburnerError):
    """There is a job that was started under this id of the caller's own; nothing was stored."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"There is a job with the id {alias!r} already: give each its own.")
        self.alias = alias


class NoCurrentJob(BackburnerError, RuntimeError):
    """``current_job`` was used where no job runs."""

    def __init__(self) -> None:
        super().__init__(
            "No job is running here: current_job works only inside a task that a worker runs. "
            "A task called directly, like a plain function, has no job either, so its reports go "
            "nowhere; start it with .delay() instead. Neither has a thread that a task starts: "
            "run its function by contextvars.copy_context().run."
        )


class QueueFull(BackburnerError):
    """Too many jobs wait already; nothing was stored."""

    def __init__(self, queued: int, limit: int) -> None:
        super().__init__(
            f"{queued} jobs are queued and BACKBURNER_MAX_QUEUED allows {limit}. "
            "Try again later, start more workers, or raise the limit."
        )
        self.queued = queued
        self.limit = limit


class StoreError(BackburnerError):
    """The store cannot be read or written."""


class StoreBusy(StoreError):
    """Somebody else holds the store for longer than we wait."""


class StoreFull(StoreError):
    """There is no room left where the store lives; nothing was stored."""


class StoreCorrupt(StoreError):
    """The store's file is damaged."""


class JobInterrupted(BaseException):
    """Running code is to stop at once."""


class JobCancelled(JobInterrupted):
    """The job was cancelled while it ran."""


class JobTimedOut(JobCancelled):
    """The job has run for longer than its task's ``timeout``."""


class JobRetry(JobInterrupted):
    """The job asked to be tried again, after ``countdown`` seconds or as its task says.

    ``retries`` is how often in all, if that is not what its task says.
    """

    def __init__(self, countdown: float | None = None, retries: int | None = None) -> None:
        super().__init__()
        self.countdown = countdown
        self.retries = retries


class JobReleased(JobInterrupted):
    """The job was taken from this worker and goes on elsewhere."""
