"""Attempt: what happens around a task's own code, in a worker and in ``apply()``."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from ..errors import JobCancelled, JobRetry, JobTimedOut
from ..running import RUNNING
from . import states
from .exceptions import Ignore, Retry, SoftTimeLimitExceeded
from .request import Context, at_work, request_of
from .signals import task_failure, task_postrun, task_prerun, task_retry, task_success
from .task import Task
from .told import Told, error_of_meta, stored_error, tell

CALL = "celery:call"
"""The name under which the wishes of a call travel with its arguments."""

IGNORED = object()
"""Instead of a result that nobody wants to have, whatever the task's hint says."""


class ExceptionInfo:
    """An exception as handlers and signals get it; as text it is the traceback."""

    def __init__(self, error: BaseException) -> None:
        self.exception = error
        self.type = type(error)
        self.tb = error.__traceback__
        self.traceback = "".join(traceback.format_exception(error))

    def __str__(self) -> str:
        return self.traceback


class End(Struct, frozen=True):
    """How an attempt ended: its state, and what was returned or raised."""

    state: str
    value: Any


class Attempt:
    """One call of a task, with its handlers and signals."""

    def __init__(self, task: Task, request: Context) -> None:
        self._task = task
        self._request = request
        self._call = (request.id, request.args, request.kwargs)

    def run(self) -> End:
        """Call the task; what it raises is a value, but for what stops its job."""
        with at_work(self._task, self._request):
            id, args, kwargs = self._call
            task_prerun.send(self._task, task_id=id, task=self._task, args=args, kwargs=kwargs)
            try:
                end = self._called()
                self._handle(end)
            except JobCancelled as stop:
                late = isinstance(stop, JobTimedOut)
                self._tell_end(End(states.FAILURE if late else states.REVOKED, stop))
                raise
            self._tell_end(end)
            return end

    def _tell_end(self, end: End) -> None:
        id, args, kwargs = self._call
        task_postrun.send(
            self._task,
            task_id=id,
            task=self._task,
            args=args,
            kwargs=kwargs,
            retval=end.value,
            state=end.state,
        )

    def _called(self) -> End:
        task = self._task
        try:
            task.before_start(*self._call)
            return End(states.SUCCESS, task(*self._request.args, **self._request.kwargs))
        except Ignore as wish:
            return End(states.IGNORED, wish)
        except Retry as wish:
            return End(states.RETRY, wish)
        except Exception as error:
            again = task.retry_of(error)
            return End(states.FAILURE, error) if again is None else End(states.RETRY, again)

    def _handle(self, end: End) -> None:
        if end.state == states.SUCCESS:
            self._task.on_success(end.value, *self._call)
            task_success.send(self._task, result=end.value)
            self._task.after_return(end.state, end.value, *self._call, None)
        elif end.state == states.RETRY:
            self._handle_retry(end.value)
        elif end.state == states.FAILURE:
            self._handle_failure(end.value)

    def _handle_retry(self, wish: Retry) -> None:
        reason = wish.exc or wish
        einfo = ExceptionInfo(reason)
        self._tell_error(reason)
        self._task.on_retry(reason, *self._call, einfo)
        task_retry.send(self._task, request=self._request, reason=wish, einfo=einfo)

    def _handle_failure(self, error: BaseException) -> None:
        id, args, kwargs = self._call
        einfo = ExceptionInfo(error)
        self._tell_error(error)
        self._task.on_failure(error, *self._call, einfo)
        task_failure.send(
            self._task,
            task_id=id,
            exception=error,
            args=args,
            kwargs=kwargs,
            traceback=error.__traceback__,
            einfo=einfo,
        )
        self._task.after_return(states.FAILURE, error, *self._call, einfo)

    def _tell_error(self, error: BaseException) -> None:
        request = self._request
        if not request.is_eager:
            told = request.told or Told(failures=request.retries)
            tell(replace(told, error=stored_error(error)))


def body_of(task: Task) -> Callable[..., Any]:
    """The function that a job of this task runs."""

    def perform(*args: Any, **kwargs: Any) -> Any:
        call = kwargs.pop(CALL, {})
        request = request_of(RUNNING.get().claim, call, args, kwargs)
        end = Attempt(task, request).run()
        match end.state:
            case states.SUCCESS:
                return IGNORED if task.ignore_result or request.ignore_result else end.value
            case states.RETRY:
                _try_again(end.value)
            case states.IGNORED:
                _leave(request)
                return IGNORED
        _fail(end.value)

    return perform


def _try_again(wish: Retry) -> NoReturn:
    raise JobRetry(wish.delay, wish.retries) from wish.exc or wish


def _fail(error: BaseException) -> NoReturn:
    if isinstance(error, SoftTimeLimitExceeded) and isinstance(error.__cause__, JobTimedOut):
        raise JobTimedOut from error
    raise error


def _leave(request: Context) -> None:
    """The state stays as the task has set it, whatever becomes of the job."""
    told = request.told or Told(states.PENDING)
    tell(Told(told.state, told.meta, None, told.failures, last=True))
    if told.state == states.FAILURE:
        raise error_of_meta(told.meta)
