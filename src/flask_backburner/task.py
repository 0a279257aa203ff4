"""Task: a decorated function; starts jobs, and stays callable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, Unpack

from msgspec.structs import replace

from .backoff import Backoff, read_backoff
from .codec import Signature
from .codec.shown import show
from .errors import CallError, DefinitionError
from .ids import new_id
from .installation import Installation
from .job import Job
from .options import (
    OnCrash,
    StartOptions,
    TaskOptions,
    checked_expires,
    checked_flag,
    checked_lifetime,
    checked_on_crash,
    checked_retry_on,
    checked_start,
    checked_timeout,
)
from .ownership import checked_owner
from .record import RESCUES
from .running import call_plainly
from .signals import job_queued
from .store.new_job import NewJob
from .submission import module_name

P = ParamSpec("P")
R = TypeVar("R")

Passed = tuple[tuple[Any, ...], Mapping[str, Any]]
"""Positional and named arguments."""


class Task(Generic[P, R]):
    """A function that can run in the background: ``delay`` starts a job of it.

    Called like the function it is, it runs here and now, without a job.
    """

    def __init__(
        self,
        function: Callable[P, R],
        installation: Callable[[str], Installation],
        **options: Unpack[TaskOptions],
    ) -> None:
        """Raises ``DefinitionError`` for what cannot be a task."""
        _check_function(function)
        name = options.get("name")
        self.function = function
        self.name = task_name(function) if name is None else _checked_name(name)
        self.signature = Signature(function, self.name)
        self.is_async = inspect.iscoroutinefunction(function)
        with _defining(self.name):
            self._define(options)
        self._installation = installation
        update_wrapper(self, function)

    def _define(self, options: TaskOptions) -> None:
        self.retries = options.get("retries", 0)
        self.expires = checked_lifetime(options.get("expires"))
        self.backoff = read_backoff(options.get("backoff", Backoff()))
        self.retry_on = checked_retry_on(options.get("retry_on", (Exception,)))
        self.timeout = checked_timeout(options.get("timeout"))
        self.process = checked_flag("process", options.get("process", False))
        self.on_crash: OnCrash = checked_on_crash(options.get("on_crash", "retry"))
        self.options = checked_start(
            StartOptions(
                options.get("queue", "default"),
                options.get("priority", 0),
                retries=self.retries,
                expires=self.expires,
            )
        )

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, without a job; what it reports goes nowhere."""
        return call_plainly(self.function, *args, **kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Start a job: run the function with these arguments in the background.

        Durable when it returns. Raises ``CallError`` for missing or extra arguments,
        ``ArgumentError`` for values that would not arrive as they are, ``QueueFull`` and
        ``StoreError``; whenever it raises, nothing was started.
        """
        return self._start([(args, kwargs)], self.options)[0]

    def map(self, arguments: Iterable[tuple[Any, ...]]) -> list[Job[R]]:
        """Start a job for each tuple of positional arguments, all or none."""
        return self._start(self._calls(arguments), self.options)

    def _calls(self, arguments: Iterable[tuple[Any, ...]]) -> Iterator[Passed]:
        for args in arguments:
            if not isinstance(args, tuple):
                raise CallError(
                    self.name,
                    f"{self.name}.map() takes tuples, one for each job, but got {show(args)}. "
                    "Write map([(2024,), (2025,)]).",
                )
            yield args, {}

    def using(
        self,
        *,
        countdown: float | timedelta | None = None,
        eta: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        owner: str | int | None = None,
        expires: float | timedelta | datetime | None = None,
        retries: int | None = None,
    ) -> Start[P, R]:
        """The same task, to be started otherwise: ``export.using(countdown=60).delay(2026)``.

        ``countdown`` is in seconds from now, ``eta`` an aware time; jobs of a higher
        ``priority`` run first; ``owner`` is who may see it, by default who makes the request. A
        job that has not begun by ``expires``, seconds from now or an aware time, fails; one that
        failed is tried again ``retries`` times. Raises ``ValueError`` for what cannot be used.
        """
        given = {
            "countdown": countdown.total_seconds()
            if isinstance(countdown, timedelta)
            else countdown,
            "eta": eta,
            "queue": queue,
            "priority": priority,
            "owner": checked_owner(owner),
            "expires": checked_expires(expires),
            "retries": retries,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        return Start(self, checked_start(replace(self.options, **chosen)))

    def _start(
        self,
        calls: Iterable[Passed],
        options: StartOptions,
    ) -> list[Job[R]]:
        installation = self._installation(self.name)
        if self.process:
            installation.engine.check_process_jobs()
        store, limits = installation.store, installation.settings.limits
        now = store.now()
        run_at, start_by = options.run_at(now), options.start_by(now)
        owner = options.owner or installation.ownership.current()
        new = [
            NewJob(
                options.id or new_id(),
                self.name,
                self.signature.dump_arguments(args, kwargs, limits),
                options.queue,
                options.priority,
                run_at,
                owner,
                retries=options.retries,
                rescues=RESCUES if self.on_crash == "retry" else 0,
                start_by=start_by,
                alias=options.alias,
            )
            for args, kwargs in calls
        ]
        if not new:
            return []
        jobs = [
            Job[R](record, installation)
            for record in store.add(new, installation.settings.max_queued)
        ]
        installation.engine.announce(options.queue, len(jobs))
        if job_queued.receivers:
            for job in jobs:
                installation.tell(job_queued, job)
        return jobs


class Start(Generic[P, R]):
    """A task with options for its next starts."""

    def __init__(self, task: Task[P, R], options: StartOptions) -> None:
        self._task = task
        self._options = options

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """As ``Task.delay``, with the options."""
        return self._task._start([(args, kwargs)], self._options)[0]

    def map(self, arguments: Iterable[tuple[Any, ...]]) -> list[Job[R]]:
        """As ``Task.map``, with the options."""
        return self._task._start(self._task._calls(arguments), self._options)


def task_name(function: Callable[..., Any]) -> str:
    """``module:function``, the same in every process."""
    return f"{module_name(function)}:{function.__name__}"


def _check_function(function: object) -> None:
    """Refuse what cannot be found and run again in another process."""
    if inspect.ismethod(function):
        raise _method(function.__qualname__)
    if not inspect.isfunction(function):
        raise DefinitionError(
            f"{show(function)} cannot be a task: only a function defined with `def` or "
            "`async def` can. Write one that calls it, and put @tasks.task on top of that."
        )
    if function.__name__ == "<lambda>":
        raise DefinitionError("A lambda cannot be a task: it has no name. Use `def`.")
    outer = function.__qualname__.rpartition(".")[0]
    if outer and not outer.endswith("<locals>"):
        raise _method(function.__qualname__)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"{function.__qualname__} is a generator and cannot be a task: calling it runs "
            "nothing. Return the result, and report on the way with current_job.progress()."
        )


def _method(name: str) -> DefinitionError:
    return DefinitionError(
        f"{name} is a method and cannot be a task: a worker has no object to call it on. "
        "Write a function that takes what it needs, such as an id."
    )


def _checked_name(name: object) -> str:
    if isinstance(name, str) and name.isprintable() and name.strip() == name != "":
        return name
    raise DefinitionError(
        f"A task's name is {show(name)}, but must be a text such as 'reports:export'. Without "
        "one a task is named by its module and function."
    )


@contextmanager
def _defining(task: str) -> Iterator[None]:
    """What is wrong with an option is wrong with the definition."""
    try:
        yield
    except ValueError as error:
        raise DefinitionError(f"Task {task!r} cannot be defined: {error}") from None
