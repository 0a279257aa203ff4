"""Run one job: the only way from a claim to an outcome."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from collections.abc import Awaitable
from types import TracebackType
from typing import Any

import msgspec

from .errors import (
    ArgumentError,
    DefinitionError,
    JobCancelled,
    JobError,
    JobInterrupted,
    JobReleased,
    JobRetry,
    JobTimedOut,
    ResultError,
)
from .installation import Definition, Installation
from .record import (
    Cancelled,
    Failed,
    Fault,
    JobFile,
    Outcome,
    Released,
    ResultKind,
    Retry,
    StoredResponse,
    Succeeded,
)
from .running import Bound, RunningJob, storable
from .store.claim import Claim

TRACEBACK_BYTES = 64 << 10
_ASKED = Fault("error", "It asked to be tried again.")
_CANCELS = (asyncio.CancelledError,)
NEVER_AGAIN = (ResultError, ArgumentError, DefinitionError)
"""What would go wrong in the same way at the next attempt."""


def run_job(installation: Installation, running: RunningJob) -> Outcome:
    """Call the task's function in an app context of its own; how it ended is a value.

    Nothing that the function raises gets out, not even ``SystemExit``.
    """
    attempt = _Attempt(installation, running)
    with attempt, installation.app.app_context(), Bound(running), attempt:
        value = attempt.call()
        attempt.succeed(asyncio.run(value) if inspect.iscoroutine(value) else value)
    return attempt.outcome


async def run_job_async(installation: Installation, running: RunningJob) -> Outcome:
    """The same for an ``async def`` task on a loop that it shares with others.

    To be cancelled as an asyncio task once ``running.interrupt`` says why.
    """
    attempt = _Attempt(installation, running)
    with attempt, installation.app.app_context(), Bound(running), attempt:
        value = attempt.call()
        attempt.succeed(await value if isinstance(value, Awaitable) else value)
    return attempt.outcome


def stopped(installation: Installation, claim: Claim, how: type[BaseException]) -> Outcome:
    """How an attempt has ended that was cut off by this, and could not say so itself."""
    attempt = _Attempt(installation, RunningJob(claim, installation.files, lambda report: False))
    with installation.app.app_context(), attempt:
        attempt.find()
        attempt.stop(how())
    return attempt.outcome


class _Attempt:
    """What comes before and after the call of a task's function.

    As a context manager it turns whatever is raised within into the outcome: around the app
    context what the app's own teardown functions raise, inside of it what the task does.
    """

    __slots__ = ("_definition", "_installation", "_running", "outcome")

    def __init__(self, installation: Installation, running: RunningJob) -> None:
        self._installation = installation
        self._running = running
        self._definition: Definition | None = None
        self.outcome: Outcome = Released()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is not None:
            self.outcome = self._judged(error)
        return True

    def find(self) -> Definition:
        """What runs jobs of this task. Raises ``DefinitionError``."""
        task = self._running.claim.task
        definition = self._definition = self._installation.definition(task)
        if definition is None:
            raise DefinitionError(f"This worker knows no task {task!r}.")
        return definition

    def call(self) -> Any:
        """Call the function; gives back what it returns, which may have to be awaited."""
        definition, running = self.find(), self._running
        args, kwargs = definition.signature.load_arguments(running.claim.arguments)
        running.limits = self._installation.settings.limits
        running.began_at = time.monotonic()
        return definition.function(*args, **kwargs)

    def succeed(self, value: Any) -> None:
        """The function has returned this."""
        self.outcome = self._succeeded(value)

    def stop(self, how: BaseException) -> None:
        """The function was cut off by this."""
        self.outcome = self._judged(how)

    def _succeeded(self, value: Any) -> Succeeded:
        if isinstance(value, JobFile):
            return Succeeded(msgspec.json.encode(value), ResultKind.FILE)
        if isinstance(value, StoredResponse):
            return Succeeded(msgspec.json.encode(value), ResultKind.RESPONSE)
        assert self._definition is not None
        limits = self._installation.settings.limits
        return Succeeded(self._definition.signature.dump_result(value, limits))

    def _judged(self, error: BaseException) -> Outcome:
        match self._interruption(error):
            case JobTimedOut():
                return self._after_failure(self._timeout(error), error, TimeoutError())
            case JobCancelled():
                return Cancelled()
            case JobReleased():
                return Released()
            case JobRetry() as wish:
                return self._wished(wish)
        return self._after_failure(_fault(error), error)

    def _interruption(self, error: BaseException) -> JobInterrupted | None:
        """What stopped the code, if anything did.

        Also if its clean-up then failed. But words for the user are the task's own answer.
        """
        how = self._running.interrupt
        if how and not isinstance(error, JobError) and _stems_from(error, (how, *_CANCELS)):
            return how()
        return _first(error, JobInterrupted)

    def _wished(self, wish: JobRetry) -> Outcome:
        """The code asked to be tried again; which it is while there are retries left."""
        cause = wish.__cause__ or (None if wish.__suppress_context__ else wish.__context__)
        claim = self._running.claim
        allowed = claim.retries if wish.retries is None else wish.retries
        if claim.failures < allowed:
            return self._retry(_fault(cause) if cause else _ASKED, wish.countdown, cause)
        return self._failed(_no_retry_left(allowed, wish, cause), wish)

    def _timeout(self, error: BaseException) -> Fault:
        """Operators are told where in the code it was, if that is known."""
        trace = _trace(error) if error.__traceback__ else None
        return Fault("timeout", f"It {self._took_too_long()}.", traceback=trace)

    def _took_too_long(self) -> str:
        limit = self._definition.timeout if self._definition else None
        of = "" if limit is None else f" of {limit:g} s"
        return f"ran for longer than its timeout{of}"

    def _what_happened(self, fault: Fault) -> str:
        """Words for the log, of which the job's user may see a part."""
        return self._took_too_long() if fault.code == "timeout" else "failed"

    def _after_failure(
        self, fault: Fault, error: BaseException, meaning: BaseException | None = None
    ) -> Outcome:
        """Another attempt if any is left and may help against the error, or what it means."""
        claim, definition = self._running.claim, self._definition
        if definition is None or claim.failures >= claim.retries:
            return self._failed(fault, error)
        if not _admits(definition.retry_on, meaning or error):
            return self._failed(fault, error)
        return self._retry(fault, None, error)

    def _failed(self, fault: Fault, error: BaseException) -> Failed:
        claim = self._running.claim
        if not fault.public:
            self._installation.app.logger.error(
                "Job %s (%s) %s in attempt %d",
                claim.id,
                claim.task,
                self._what_happened(fault),
                claim.attempt,
                exc_info=error,
            )
        return Failed(fault)

    def _retry(self, fault: Fault, delay: float | None, error: BaseException | None) -> Retry:
        claim = self._running.claim
        if delay is None:
            assert self._definition is not None
            delay = self._definition.backoff.delay(claim.failures + 1)
        # What went wrong is for operators alone: the line itself is in the job's log, too.
        self._installation.app.logger.warning(
            "Job %s (%s) %s in attempt %d and is tried again in %.1f s",
            claim.id,
            claim.task,
            self._what_happened(fault),
            claim.attempt,
            delay,
            exc_info=error,
        )
        return Retry(fault, delay)


def _first(error: BaseException, kind: type[JobInterrupted]) -> JobInterrupted | None:
    """The error, or the first in its groups, that is one of this kind."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, (_first(each, kind) for each in error.exceptions)), None)
    return error if isinstance(error, kind) else None


def _stems_from(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether it is one of these, or was raised while one of them was on its way."""
    while error is not None:
        if isinstance(error, kinds):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(_stems_from(each, kinds) for each in error.exceptions)
        error = error.__context__
    return False


def _admits(retry_on: tuple[type[BaseException], ...], error: BaseException) -> bool:
    """Whether another attempt may help against this error, or against all in its group.

    Words for the user are final unless they are listed themselves.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(_admits(retry_on, each) for each in error.exceptions)
    if isinstance(error, NEVER_AGAIN):
        return False
    if isinstance(error, JobError):
        retry_on = tuple(each for each in retry_on if issubclass(each, JobError))
    return isinstance(error, retry_on)


def _no_retry_left(allowed: int, wish: JobRetry, cause: BaseException | None) -> Fault:
    """The user still reads what is meant for them."""
    words = f"It asked to be tried again, but has no retry left of {allowed}"
    if cause is None:
        return Fault("error", f"{words}.", traceback=_trace(wish))
    fault = _fault(cause)
    return Fault("error", f"{words}: {fault.message}", fault.public, _trace(wish))


def _fault(error: BaseException) -> Fault:
    """Why a job failed: words for its user if the task gave any, all the rest for operators."""
    words = storable(_words(error))
    if isinstance(error, JobError):
        return Fault("error", words, public=True)
    if isinstance(error, ResultError):
        return Fault("bad_result", words, traceback=_trace(error))
    if isinstance(error, ArgumentError):
        return Fault("bad_arguments", words, traceback=_trace(error))
    return Fault("error", f"{type(error).__name__}: {words}", traceback=_trace(error))


def _trace(error: BaseException) -> str:
    trace = "".join(traceback.format_exception(error))
    return storable(trace[-TRACEBACK_BYTES // 2 :], TRACEBACK_BYTES)


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as flaw:
        return f"(its text cannot be told: {type(flaw).__name__})"
