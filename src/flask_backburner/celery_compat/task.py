"""Task: Celery's base class of tasks, which apps subclass."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, NoReturn

from ..context import current_job
from ..errors import JobTimedOut
from ..options import MOST_RETRIES
from ..running import RUNNING
from . import exceptions
from .configuration import Conf
from .exceptions import MaxRetriesExceededError, NotSupported, Retry, SoftTimeLimitExceeded
from .refused import CANVAS
from .request import Context, at_work, request_at_work
from .result import AsyncResult as Result
from .result import EagerResult
from .told import Told, checked_meta, tell

REFUSED: Mapping[str, str] = {
    "apply_async_on_commit": "it is Django's. Start the task after the commit.",
    "backend": "results are in the store that BACKBURNER_URL names; ask AsyncResult for them.",
    "delay_on_commit": "it is Django's. Start the task after the commit.",
    "signature_from_request": CANVAS,
}


class App:
    """What a task needs of its Celery object."""

    conf: Conf

    def start_task(
        self, task: Task, args: Iterable[Any], kwargs: Mapping[str, Any], options: dict[str, Any]
    ) -> Any:
        raise NotImplementedError

    def run_eagerly(
        self, task: Task, args: Iterable[Any], kwargs: Mapping[str, Any], options: dict[str, Any]
    ) -> EagerResult:
        raise NotImplementedError

    def AsyncResult(self, id: str, **options: Any) -> Result:
        raise NotImplementedError


class Task:
    """A task: ``delay()`` starts it, calling it runs it here and now.

    Subclasses may override ``__call__``, which is called around ``run`` wherever the task runs,
    and the handlers ``before_start``, ``on_success``, ``on_failure``, ``on_retry`` and
    ``after_return``; what ``@celery.task(…)`` is given is set on the class.
    """

    app: ClassVar[Any] = None
    abstract = True
    name: Any = None
    max_retries: int | None = 3
    default_retry_delay: float = 3 * 60
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: ClassVar[dict[str, Any]] = {}
    retry_backoff: bool | int = False
    retry_backoff_max: int = 600
    retry_jitter: bool = True
    ignore_result: bool = False
    track_started: bool | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    rate_limit: str | float | None = None
    queue: str | None = None
    priority: int | None = None
    expires: float | datetime | None = None
    serializer: str | None = None
    throws: tuple[type[BaseException], ...] = ()

    OperationalError = exceptions.OperationalError
    MaxRetriesExceededError = MaxRetriesExceededError

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """What the task does: the decorated function."""
        raise NotImplementedError(f"The task {self.name!r} defines no run().")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now, without a job; ``update_state()`` then reports to nobody."""
        if not self.request.called_directly:
            return self.run(*args, **kwargs)
        with at_work(self, Context(self.name, None, args, kwargs)):
            return self.run(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<@task: {self.name}>"

    @property
    def request(self) -> Context:
        """The call that runs here."""
        return request_at_work(self)

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Start the task with these arguments; what ``apply_async`` raises."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> Any:
        """Start the task, and give back its ``AsyncResult``.

        ``countdown`` is in seconds, ``eta`` a time, ``expires`` either; jobs of a higher
        ``priority`` run first; ``task_id`` is an id of your own, which no other task may have
        had. Raises ``TypeError`` for arguments that the function does not take,
        ``ArgumentError`` for values that would arrive as others, ``AliasTaken``,
        ``OperationalError``, ``QueueFull``, and ``NotSupported`` for options that are not here.
        """
        return self.app.start_task(self, args or (), kwargs or {}, {"task_id": task_id, **options})

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> EagerResult:
        """Run the task here and now, retries at once, and give back its ``EagerResult``.

        The arguments go through JSON as on their way to a worker. With ``throw`` an exception
        of the task is raised.
        """
        ran: EagerResult = self.app.run_eagerly(self, args or (), kwargs or {}, options)
        return ran

    def AsyncResult(self, task_id: str, **options: Any) -> Result:
        """The result of the task with this id."""
        found: Result = self.app.AsyncResult(task_id, **options)
        return found

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None
    ) -> None:
        """Say how the task is: any state, and a meta of plain JSON.

        It goes with the worker's next report, at most every 100 ms. A meta's ``current``,
        ``total`` and ``status`` are the job's progress too. Here the task is stopped when it was
        revoked, and ``SoftTimeLimitExceeded`` is raised when its time is up.
        """
        request = self.request
        if task_id not in (None, request.id):
            raise NotSupported("update_state(task_id=…)", "a task tells only its own state.")
        running = RUNNING.get(None)
        if running is None or request.called_directly or request.is_eager:
            return
        meta = checked_meta(meta, str(self.name), running.limits)
        before = request.told.state if request.told else "PENDING"
        request.told = Told(before if state is None else str(state), meta, None, request.retries)
        tell(request.told)
        self._show_progress(meta)

    def _show_progress(self, meta: Any) -> None:
        known = meta if isinstance(meta, dict) else {}
        current, total, status = (known.get(name) for name in ("current", "total", "status"))
        try:
            current_job.progress(
                _number(current), _number(total), status if isinstance(status, str) else None
            )
        except JobTimedOut as late:
            limit = self.soft_limit
            if limit is None:
                raise
            raise SoftTimeLimitExceeded(limit) from late

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> NoReturn:
        """Give this attempt up and be tried again: ``raise self.retry(exc=error)``.

        After ``countdown`` seconds, else after ``default_retry_delay``. When there were
        ``max_retries`` already, ``exc`` is raised, or ``MaxRetriesExceededError``.
        """
        _check_retry(self, args, kwargs, throw, options)
        request = self.request
        if request.called_directly:
            raise exc or sys.exc_info()[1] or Retry()
        allowed = self.max_retries if max_retries is None else max_retries
        if allowed is not None and request.retries >= allowed:
            raise exc or MaxRetriesExceededError(
                f"The task {self.name} has been tried again {request.retries} times already."
            )
        raise Retry(
            exc=exc or sys.exc_info()[1],
            when=eta or countdown,
            delay=self._delay(eta, countdown),
            retries=MOST_RETRIES if allowed is None else allowed,
        )

    def _delay(self, eta: datetime | None, countdown: float | None) -> float:
        if eta is None:
            return max(0.0, self.default_retry_delay if countdown is None else countdown)
        aware = eta if eta.utcoffset() is not None else eta.replace(tzinfo=self.app.conf.zone)
        return max(0.0, (aware - datetime.now(aware.tzinfo)).total_seconds())

    @property
    def soft_limit(self) -> float | None:
        """Its own ``soft_time_limit``, else that of the settings."""
        usual: float | None = self.app.conf["task_soft_time_limit"]
        return usual if self.soft_time_limit is None else self.soft_time_limit

    @property
    def hard_limit(self) -> float | None:
        """Its own ``time_limit``, else that of the settings."""
        usual: float | None = self.app.conf["task_time_limit"]
        return usual if self.time_limit is None else self.time_limit

    def retry_of(self, error: Exception) -> Retry | None:
        """The retry that ``autoretry_for`` makes of an exception."""
        if not isinstance(error, tuple(self.autoretry_for)):
            return None
        if isinstance(error, (exceptions.TaskPredicate, *self.dont_autoretry_for)):
            return None
        options = dict(self.retry_kwargs)
        if self.retry_backoff:
            options["countdown"] = self._backoff()
        try:
            self.retry(exc=error, **options)
        except Retry as wish:
            return wish
        except type(error):
            return None

    def _backoff(self) -> int:
        factor = int(max(1.0, self.retry_backoff))
        longest = min(self.retry_backoff_max, factor * 2 ** min(self.request.retries, 62))
        return random.randrange(longest + 1) if self.retry_jitter else longest

    @property
    def most_retries(self) -> int:
        """How many attempts may fail before the task does, unless ``retry()`` says otherwise."""
        allowed = self.max_retries
        if self.autoretry_for:
            allowed = self.retry_kwargs.get("max_retries", allowed)
        return MOST_RETRIES if allowed is None else max(0, int(allowed))

    def before_start(self, task_id: str | None, args: Any, kwargs: Any) -> None:
        """Called before the task runs."""

    def on_success(self, retval: Any, task_id: str | None, args: Any, kwargs: Any) -> None:
        """Called when it has returned."""

    def on_failure(
        self, exc: BaseException, task_id: str | None, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called when it has failed for good."""

    def on_retry(
        self, exc: BaseException, task_id: str | None, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called when it is to be tried again."""

    def after_return(
        self, status: str, retval: Any, task_id: str | None, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called when it is over, however it ended."""

    def __getattr__(self, name: str) -> NoReturn:
        if name in REFUSED:
            raise NotSupported(f"Task.{name}", REFUSED[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def s(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ``NotSupported``, as do ``si``, ``signature``, ``subtask``, ``chunks``, …"""
        raise NotSupported("signature of a task, such as add.s(2)", CANVAS)

    si = signature = subtask = chunks = map = starmap = s

    def replace(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ``NotSupported``."""
        raise NotSupported("Task.replace()", CANVAS)

    add_to_chord = replace

    def send_event(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ``NotSupported``."""
        raise NotSupported(
            "Task.send_event()",
            "there is no event stream. What changes about a job is at GET /jobs/events.",
        )


def _number(value: Any) -> float | None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if fits and abs(value) < 1 << 63 else None


def _check_retry(
    task: Task, args: Any, kwargs: Any, throw: bool, options: Mapping[str, Any]
) -> None:
    request = task.request
    changed = [
        name
        for name, value, known in (("args", args, request.args), ("kwargs", kwargs, request.kwargs))
        if value is not None and type(known)(value) != known
    ]
    refused = [*changed, *options, *(() if throw else ("throw=False",))]
    if refused:
        raise NotSupported(
            f"retry({', '.join(refused)})",
            "another try is the same job with the same arguments. Start a new one with "
            "apply_async() instead.",
        )
