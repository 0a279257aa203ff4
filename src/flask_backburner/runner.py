"""Run one job: the only way from a claim to an outcome."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from typing import Any

import msgspec

from .context import Bound, RunningJob, storable
from .errors import (
    ArgumentError,
    DefinitionError,
    JobCancelled,
    JobError,
    JobInterrupted,
    JobReleased,
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
    StoredResponse,
    Succeeded,
)

TRACEBACK_BYTES = 64 << 10


def run_job(installation: Installation, running: RunningJob) -> Outcome:
    """Call the task's function in an app context of its own; how it ended is a value.

    Nothing that the function raises gets out, not even ``SystemExit``.
    """
    try:
        with installation.app.app_context(), Bound(running):
            return _attempt(installation, running)
    except BaseException as error:
        # Teardown functions run here too, and are the app's own code.
        return _failed(installation, running, error)


def _attempt(installation: Installation, running: RunningJob) -> Outcome:
    try:
        definition = _definition(installation, running.claim.task)
        args, kwargs = definition.signature.load_arguments(running.claim.arguments)
        value = _call(definition, args, kwargs)
        return _succeeded(installation, definition, value)
    except BaseException as error:
        if _is(error, JobCancelled):
            return Cancelled()
        if _is(error, JobReleased):
            return Released()
        return _failed(installation, running, error)


def _is(error: BaseException, interruption: type[JobInterrupted]) -> bool:
    """Whether it is that interruption, alone or in the group that a ``TaskGroup`` makes of it."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(interruption) is not None
    return isinstance(error, interruption)


def _definition(installation: Installation, task: str) -> Definition:
    definition = installation.definition(task)
    if definition is None:
        raise DefinitionError(f"This worker knows no task {task!r}.")
    return definition


def _succeeded(installation: Installation, definition: Definition, value: Any) -> Succeeded:
    if isinstance(value, JobFile):
        return Succeeded(msgspec.json.encode(value), ResultKind.FILE)
    if isinstance(value, StoredResponse):
        return Succeeded(msgspec.json.encode(value), ResultKind.RESPONSE)
    return Succeeded(definition.signature.dump_result(value, installation.settings.limits))


def _call(definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    value = definition.function(*args, **kwargs)
    if inspect.iscoroutine(value):
        return asyncio.run(value)
    return value


def _failed(installation: Installation, running: RunningJob, error: BaseException) -> Failed:
    fault = _fault(error)
    claim = running.claim
    if not fault.public:
        installation.app.logger.error(
            "Job %s (%s) failed in attempt %d", claim.id, claim.task, claim.attempt, exc_info=error
        )
    return Failed(fault)


def _fault(error: BaseException) -> Fault:
    """Why a job failed: words for its user if the task gave any, all the rest for operators."""
    words = storable(_words(error))
    if isinstance(error, JobError):
        return Fault("error", words, public=True)
    trace = "".join(traceback.format_exception(error))
    trace = storable(trace[-TRACEBACK_BYTES // 2 :], TRACEBACK_BYTES)
    if isinstance(error, ResultError):
        return Fault("bad_result", words, traceback=trace)
    if isinstance(error, ArgumentError):
        return Fault("bad_arguments", words, traceback=trace)
    return Fault("error", f"{type(error).__name__}: {words}", traceback=trace)


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as flaw:
        return f"(its text cannot be told: {type(flaw).__name__})"
