"""Backburner: puts the parts together for an app."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload
from weakref import WeakSet

from flask import Flask, request

from .engine.choice import celery_engine, engine_of
from .errors import BackburnerError, DefinitionError, JobNotFound
from .external import ExternalJob
from .ids import is_id, new_id
from .installation import Installation, installed
from .job import Job
from .options import TaskOptions
from .ownership import Ownership, checked_owner
from .record import State
from .settings import read_settings
from .signals import job_queued
from .store.new_job import NewJob
from .submission import find_submitted, submission_name
from .task import Task
from .upkeep import forget_jobs
from .web.api import job_blueprint
from .web.background import (
    WAIT,
    BackgroundView,
    PlainView,
    check_order,
    install_background_views,
)
from .web.page import TemplateGlobals
from .web.problem import install_handlers
from .web.stored_request import in_job

if TYPE_CHECKING:
    from celery import Celery

P = ParamSpec("P")
R = TypeVar("R")
Loader = TypeVar("Loader", bound=Callable[[], object])

NAME = "backburner"
OPTIONS = tuple(TaskOptions.__annotations__)


class Backburner:
    """Background jobs for a Flask app: ``tasks = Backburner(app)``, or ``init_app`` later.

    One object may serve several apps; each has its own configuration, store and workers. In
    ``init_app`` nothing is started, opened or connected.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._tasks: dict[str, Task[..., Any]] = {}
        self._installations: dict[Flask, Installation] = {}
        self._ownership = Ownership()
        self._views: WeakSet[Callable[..., Any]] = WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set an app up for background jobs.

        Raises ``ConfigError`` for a ``BACKBURNER_*`` value that cannot be used.
        """
        if NAME in app.extensions:
            raise BackburnerError(
                f"The app {app.name!r} has a Backburner already. Call init_app once for each app, "
                "and use the same Backburner object everywhere."
            )
        installation = Installation(
            app, read_settings(app), self._tasks, self._adopt, self._ownership, engine_of
        )
        app.extensions[NAME] = self
        self._installations[app] = installation
        app.before_request(lambda: _start_engine(installation))
        install_background_views(installation, self._views)
        install_handlers(app)
        app.jinja_env.globals[NAME] = TemplateGlobals()
        app.register_blueprint(job_blueprint(installation))

    def installation(self, app: Flask) -> Installation:
        """What one of the apps has of this extension; for engines and commands."""
        return self._installations[app]

    @property
    def celery_app(self) -> Celery:
        """The Celery app of an app whose jobs are in Redis: for ``celery -A shop:celery_app``.

        ``celery_app = tasks.celery_app`` in the module gives it a name there. Change none of
        its settings that are about tasks. Raises ``ConfigError`` where Celery is not in use.
        """
        return celery_engine(self._current("tasks.celery_app")).celery_app

    def _current(self, owner: str) -> Installation:
        return installed(self._installations, owner)

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, **options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def task(
        self, function: Callable[P, R] | None = None, /, **options: Unpack[TaskOptions]
    ) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
        """Make a function a task: ``@tasks.task``, or ``@tasks.task(queue="reports")``.

        ``name`` is by default ``module:function`` and must be the same in every process;
        jobs of a higher ``priority`` run first. A job that fails by an error of one of the
        classes ``retry_on`` is tried again, up to ``retries`` times, each after what
        ``backoff`` says: a ``Backoff``, seconds, or a sequence of them. An attempt is stopped
        after ``timeout`` seconds; a job that has not begun ``expires`` seconds after its start
        fails. With ``process=True`` it runs in a process of its own, which can be killed.
        ``on_crash="fail"`` is for what must not run again when its process has died.

        Raises ``DefinitionError`` for what cannot be a task, such as a method, for a value that
        cannot be used, and for a name that another function has.
        """
        for option in options:
            if option not in OPTIONS:
                raise _unknown_option(option)

        def define(function: Callable[P, R]) -> Task[P, R]:
            task = Task(function, self._current, **options)
            self._add(task)
            return task

        return define if function is None else define(function)

    def _add(self, task: Task[..., Any]) -> None:
        if any(
            view is task.function
            for app in self._installations
            for view in app.view_functions.values()
        ):
            raise DefinitionError(
                f"{task.name} is a view, registered with Flask before it became a task, so it "
                "would run in the request. Write a view that returns the job of a task "
                "(`return export.delay()`), or put @tasks.background below @app.route."
            )
        known = self._tasks.get(task.name)
        if known is not None and _place(known) != _place(task):
            raise DefinitionError(
                f"There is a task named {task.name!r} already, defined at {_place(known)}; the "
                f"one at {_place(task)} needs another: @tasks.task(name=…)."
            )
        self._tasks[task.name] = task

    @overload
    def background(self, view: PlainView[P], /) -> BackgroundView[P]: ...
    @overload
    def background(
        self,
        /,
        *,
        wait: float | timedelta = WAIT,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
    ) -> Callable[[PlainView[P]], BackgroundView[P]]: ...
    def background(
        self,
        view: PlainView[P] | None = None,
        /,
        *,
        wait: float | timedelta = WAIT,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
    ) -> BackgroundView[P] | Callable[[PlainView[P]], BackgroundView[P]]:
        """Run a view itself in the background: ``@tasks.background(wait=0.5)``, below the route.

        If it ends within ``wait`` seconds its response goes out as always. Else the answer is
        202, for browsers 303 to the job's page, and ``/jobs/<id>/result`` gives the view's
        response later. ``name``, ``queue`` and ``priority`` are as for a task. Raises
        ``DefinitionError`` for what cannot be such a view.
        """

        def define(view: PlainView[P]) -> BackgroundView[P]:
            wrapped = BackgroundView(
                view, self._current, wait, name=name, queue=queue, priority=priority
            )
            for app in self._installations:
                check_order(view, app)
            self._add(wrapped.task)
            self._views.add(view)
            return wrapped

        return define if view is None else define(view)

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Run a function that is no task in the background, as ``executor.submit`` does.

        It must be defined at the top of a module of the app's own package, or of one that
        ``BACKBURNER_SUBMIT`` names; no lambda, method or inner function. Raises
        ``DefinitionError`` for any other, and what ``delay`` raises.
        """
        installation = self._current("tasks.submit()")
        name = submission_name(function, installation.settings.submit)
        return Task(function, self._current, name=name).delay(*args, **kwargs)

    def _adopt(self, installation: Installation, name: str) -> Task[..., Any]:
        function = find_submitted(name, installation.settings.submit)
        return Task(function, self._current, name=name)

    def external(
        self,
        name: str | None = None,
        *,
        id: str | None = None,
        deadline: float | timedelta | None = None,
        queue: str = "default",
        owner: str | int | None = None,
    ) -> ExternalJob:
        """Make a job whose work other code does: ``work = tasks.external("transcode")``.

        With ``id`` instead of a name, take over the one that was made elsewhere. With a
        ``deadline`` the job fails as ``lost`` when nothing is heard of it for so many seconds.
        Raises ``JobNotFound`` for an unknown id, ``ValueError`` for what cannot be used.
        """
        installation = self._current("tasks.external()")
        if (name is None) == (id is None):
            raise ValueError("Give tasks.external() either the work's name or a job's id.")
        if id is not None:
            return ExternalJob(self.job(id), installation)
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{name!r} cannot name external work: use a text.")
        new = NewJob(
            new_id(),
            name,
            b"{}",
            queue,
            owner=checked_owner(owner) or installation.ownership.current(),
            external=True,
            deadline=None if deadline is None else _seconds("deadline", deadline),
        )
        (record,) = installation.store.add([new], installation.settings.max_queued)
        job = Job[Any](record, installation)
        installation.tell(job_queued, job)
        return ExternalJob(job, installation)

    def owner_loader(self, loader: Loader) -> Loader:
        """Name the current owner: ``@tasks.owner_loader`` on a function that gives the user's id.

        Called in a request; ``None`` is nobody. A job started in a request is its owner's, and
        over HTTP only its owner sees it; a job of nobody is seen by who knows its id. Without a
        loader Flask-Login's user is the owner where that is in use.
        """
        self._ownership.loader = loader
        return loader

    def purge(self, older_than: float | timedelta) -> int:
        """Forget the jobs that finished more than so many seconds ago; gives back how many."""
        installation = self._current("tasks.purge()")
        before = installation.store.now() - _seconds("older_than", older_than)
        forgotten = 0
        while chunk := forget_jobs(installation.store, installation.files, before):
            forgotten += chunk
        return forgotten

    def job(self, id: str) -> Job[Any]:
        """The job with this id. Raises ``JobNotFound`` if there is none."""
        installation = self._current("tasks.job()")
        return Job(installation.store.get(_id(id)), installation)

    def jobs(
        self,
        *,
        state: State | str | None = None,
        task: str | Task[..., Any] | None = None,
        queue: str | None = None,
        owner: str | int | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Job[Any]]:
        """The newest jobs of one state, task, queue or owner, or of all; newest first.

        ``before`` is a job's id: the last of a page leads to the next.
        """
        installation = self._current("tasks.jobs()")
        if sum(each is not None for each in (state, task, queue, owner)) > 1:
            raise ValueError("tasks.jobs() takes one of state, task, queue and owner, not several.")
        records = installation.store.find(
            state=None if state is None else _state(state),
            task=task.name if isinstance(task, Task) else task,
            queue=queue,
            owner=checked_owner(owner),
            limit=_limit(limit),
            before=None if before is None else _id(before),
        )
        return [Job(record, installation) for record in records]

    def close(self) -> None:
        """End what this process runs for jobs: threads, child process, connections. Repeatable."""
        for installation in self._installations.values():
            installation.close()


def _start_engine(installation: Installation) -> None:
    """At a web process's first request; the requests that workers run are no such."""
    if not in_job(request):
        installation.engine.start()


def _place(task: Task[..., Any]) -> str:
    # Beneath what decorators put around it, which lies in one place for all their functions
    code = inspect.unwrap(task).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _unknown_option(name: str) -> DefinitionError:
    near = difflib.get_close_matches(name, OPTIONS, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(OPTIONS)}."
    return DefinitionError(f"@tasks.task() has no option {name!r}. {hint}")


def _id(value: str) -> str:
    if isinstance(value, str) and is_id(value):
        return value
    raise JobNotFound(value)


def _state(value: State | str) -> State:
    try:
        return State(value)
    except ValueError:
        allowed = ", ".join(State)
        raise ValueError(f"There is no state {value!r}. The states are {allowed}.") from None


def _seconds(name: str, value: float | timedelta) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise ValueError(f"{name} is {value!r}, but must be seconds, 0 or more, or a timedelta.")
    return float(seconds)


def _limit(value: int) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"limit is {value!r}, but must be a whole number of at least 1.")
    return value
