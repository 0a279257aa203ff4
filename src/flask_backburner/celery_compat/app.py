"""Celery: what apps written for Celery begin with."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any, cast

from werkzeug.local import LocalProxy

from ..submission import module_name
from .attempt import CALL
from .binding import Client, make_default
from .call import read_call
from .configuration import below, read_source
from .control import Control
from .definition import Definition, name_in
from .eager import run_here
from .exceptions import NotSupported
from .refused import CANVAS, PERIODIC, Refused
from .registry import Pending, Tasks, pending_task, shared
from .request import task_at_work
from .result import AsyncResult as Result
from .result import EagerResult
from .task import App
from .task import Task as BaseTask

WORKER = (
    "no worker of Celery's is needed: a web process starts its own, and `flask jobs worker` runs "
    "one by itself."
)
BROKER = "there is no broker to talk to. Jobs are in the store that BACKBURNER_URL names."

REFUSED: Mapping[str, str] = {
    "Beat": PERIODIC,
    "GroupResult": CANVAS,
    "ResultSet": CANVAS,
    "Worker": WORKER,
    "add_periodic_task": PERIODIC,
    "amqp": BROKER,
    "backend": BROKER,
    "broker_connection": BROKER,
    "connection": BROKER,
    "connection_for_read": BROKER,
    "connection_for_write": BROKER,
    "events": "there is no event stream. What changes about a job is at GET /jobs/events.",
    "on_after_configure": PERIODIC,
    "on_after_finalize": PERIODIC,
    "pool": BROKER,
    "producer_pool": BROKER,
    "setup_security": "messages are not signed, because there are none.",
    "signature": CANVAS,
    "start": WORKER,
    "subtask": CANVAS,
    "worker_main": WORKER,
}

Packages = Iterable[str] | Callable[[], Iterable[str]]


class Celery(Client, App):
    """Stands for a Celery app in a Flask app: tasks, settings, results.

    It finds its Flask app by itself, at the latest when that answers its first request, and
    keeps jobs where ``BACKBURNER_URL`` says. The URLs of a broker and of a result backend are
    not used.
    """

    def __init__(
        self,
        main: str | None = None,
        *,
        backend: str | None = None,
        broker: str | None = None,
        include: Iterable[str] | None = None,
        task_cls: type[BaseTask] | str | None = None,
        config_source: Any = None,
        namespace: str | None = None,
        **settings: Any,
    ) -> None:
        """``settings`` are as for ``conf.update``; what concerns only processes is dropped."""
        self._base = task_cls
        self._making = threading.RLock()
        self._pending: dict[str, Pending] = dict(shared)
        self._tasks = Tasks()
        self._definitions: dict[str, Definition] = {}
        self._discovered: list[tuple[Packages, str | None]] = []
        super().__init__(main)
        given = {"broker_url": broker, "result_backend": backend, "include": include}
        self.conf.update({name: value for name, value in given.items() if value is not None})
        dropped = {"autofinalize", "set_as_current", "strict_typing"}
        self.conf.update({name: each for name, each in settings.items() if name not in dropped})
        if config_source is not None:
            self.config_from_object(config_source, namespace=namespace)

    def __repr__(self) -> str:
        return f"<Celery {self.main}>"

    def __getattr__(self, name: str) -> Refused:
        if name in REFUSED:
            return Refused(f"Celery.{name}", REFUSED[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Settings

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Take over the settings of a mapping, module, class, or of what a text names."""
        try:
            settings = read_source(obj)
        except Exception:
            if silent:
                return
            raise
        self.conf.note_source(obj)
        self.conf.update(below(namespace, settings) if namespace else settings)

    def config_from_envvar(
        self, variable_name: str, silent: bool = False, force: bool = False
    ) -> None:
        """As ``config_from_object``, for the module that an environment variable names."""
        name = os.environ.get(variable_name)
        if name is not None or not silent:
            self.config_from_object(name or "", silent=silent)

    def set_default(self) -> None:
        """Let this be the one that is meant where none is named."""
        make_default(self)

    set_current = set_default

    def autodiscover_tasks(
        self, packages: Packages = (), related_name: str | None = "tasks", force: bool = False
    ) -> None:
        """Let workers import the module ``tasks`` of each of the packages that has one."""
        self._discovered.append((packages, related_name))

    def modules(self) -> Iterator[str]:
        """What a worker imports: ``include``, ``imports``, and what is discovered."""
        yield from self.conf["include"]
        yield from self.conf["imports"]
        for packages, related in self._discovered:
            for package in packages() if callable(packages) else packages:
                name = f"{package}.{related}" if related else package
                if find_spec(name) is not None:
                    yield name

    # Tasks

    @property
    def Task(self) -> type[BaseTask]:
        """The base class of the tasks; one of your own may be set."""
        base = self._base
        kind = resolve_name(base) if isinstance(base, str) else base or BaseTask
        if kind.__dict__.get("app") is not self:
            kind = type(kind.__name__, (kind,), {"app": self, "__module__": kind.__module__})
            self._base = kind
        return cast("type[BaseTask]", kind)

    @Task.setter
    def Task(self, base: type[BaseTask]) -> None:
        self._base = base

    def gen_task_name(self, name: str, module: str) -> str:
        """How a task without a name is called; may be overridden."""
        return name_in(name, module)

    def task_classes(self) -> list[type]:
        return [self.Task, *map(type, self._tasks.values())]

    def task(self, *functions: Callable[..., Any], **options: Any) -> Any:
        """Make a function a task: ``@celery.task``, or ``@celery.task(bind=True, …)``.

        Options that are not known become attributes of the task, as in Celery.
        """
        if functions:
            return self.add(functions[0], options)
        return lambda function: self.add(function, options)

    def add(self, function: Callable[..., Any], options: Mapping[str, Any]) -> BaseTask:
        """Note the function; it becomes a task when it is used first, or the app is."""
        name, pending = pending_task(function, options, self.gen_task_name)
        self.add_pending(name, pending)
        return cast(BaseTask, LocalProxy(lambda: self.tasks[name]))

    def add_pending(self, name: str, pending: Pending) -> None:
        """Take a function that may become a task later."""
        self._tasks.pop(name, None)
        self._definitions.pop(name, None)
        self._pending[name] = pending
        if self._apps:
            self.added(self.definition(self.tasks[name]))

    @property
    def tasks(self) -> Tasks:
        """The tasks by name; a name that is not there raises ``NotRegistered``."""
        with self._making:
            while self._pending:
                name = next(iter(self._pending))
                self._tasks[name] = self._made(name, *self._pending.pop(name))
        return self._tasks

    def _made(self, name: str, function: Callable[..., Any], options: dict[str, Any]) -> BaseTask:
        own = dict(options)
        base = own.pop("base", None) or self.Task
        if hasattr(base, "Request"):
            raise NotSupported("Task.Request", "a task has no request of its own class.")
        run = function if own.pop("bind", False) else staticmethod(function)
        usual = {"ignore_result": base.ignore_result or self.conf["task_ignore_result"]}
        attributes = {
            **usual,
            **own,
            "app": self,
            "name": name,
            "run": run,
            "abstract": False,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__name__": function.__name__,
            "__wrapped__": function,
        }
        kind: Any = type(function.__name__, (base,), attributes)
        return cast(BaseTask, kind())

    def register_task(self, task: BaseTask | type[BaseTask], **options: Any) -> BaseTask:
        """Add a task that is a class: its ``run`` is what it does."""
        made = task() if isinstance(task, type) else task
        kind = type(made)
        for name, value in {"app": self, "abstract": False, **options}.items():
            setattr(kind, name, value)
        if not kind.name:
            kind.name = self.gen_task_name(kind.__name__, module_name(kind))
        self._tasks[str(kind.name)] = made
        if self._apps:
            self.added(self.definition(made))
        return made

    def definition(self, task: BaseTask) -> Definition:
        """What the task is to a Backburner."""
        name = str(task.name)
        with self._making:
            if name not in self._definitions:
                self._definitions[name] = Definition(task, self.installation)
            return self._definitions[name]

    def definitions(self) -> list[Definition]:
        return [self.definition(task) for task in list(self.tasks.values())]

    def finalize(self, auto: bool = False) -> None:
        """Make all functions tasks that wait for it."""
        self.definitions()

    def close(self) -> None:
        """Nothing is to be closed here; ``Backburner.close()`` ends what a process runs."""

    # Jobs

    def start_task(
        self,
        task: BaseTask,
        args: Iterable[Any],
        kwargs: Mapping[str, Any],
        options: dict[str, Any],
    ) -> Any:
        """Start a job of the task; as ``Task.apply_async``."""
        definition = self.definition(task)
        usual = definition.options
        call = read_call({"expires": task.expires, **options}, usual, self.conf)
        if self.conf["task_always_eager"]:
            return self.run_eagerly(task, args, kwargs, options)
        passed = {**kwargs, CALL: call.wishes} if call.wishes else kwargs
        job = definition.start(tuple(args), passed, call.start)
        return Result(call.task_id or job.id, app=self)

    def send_task(
        self,
        name: str,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Start a task by its name. Raises ``NotRegistered`` for one not defined here."""
        return self.tasks[name].apply_async(args, kwargs, **options)

    def run_eagerly(
        self,
        task: BaseTask,
        args: Iterable[Any],
        kwargs: Mapping[str, Any],
        options: dict[str, Any],
    ) -> EagerResult:
        """Run the task here and now; as ``Task.apply``."""
        throws = options.get("throw")
        propagates = self.conf["task_eager_propagates"] if throws is None else throws
        ran = run_here(self.definition(task).signature, task, args, kwargs, options)
        if propagates and isinstance(ran.result, BaseException):
            raise ran.result
        return ran

    def AsyncResult(self, id: str, **options: Any) -> Result:
        """The result of the task with this id."""
        return Result(id, app=self, **options)

    @property
    def control(self) -> Control:
        """Revokes tasks."""
        return Control(self)

    @property
    def current_task(self) -> Any:
        """The task that runs here; ``None`` outside of one."""
        return task_at_work()
