"""AsyncResult: a task's state and result by its id, as ``celery.result`` has it."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NoReturn

from ..errors import JobForgotten, JobNotDone, JobNotFound
from ..ids import is_id
from ..installation import Installation
from ..job import Job
from ..record import JobRecord
from ..running import RUNNING, PlainCall
from . import states
from .binding import Client, client_here
from .exceptions import NotSupported, TimeoutError
from .look import Look, look_at
from .refused import Refused
from .told import heard

TOGETHER = "tasks that belong together are not here yet. Look at each task's own result."

REFUSED: Mapping[str, str] = {
    "as_list": TOGETHER,
    "as_tuple": TOGETHER,
    "build_graph": TOGETHER,
    "children": TOGETHER,
    "collect": TOGETHER,
    "get_leaf": TOGETHER,
    "graph": TOGETHER,
    "iterdeps": TOGETHER,
    "revoke_by_stamped_headers": "calls have no stamps. Revoke by id.",
    "then": "nothing here waits for results by itself. Ask for the state, or call get().",
}

GroupResult = Refused("GroupResult", TOGETHER)
ResultSet = Refused("ResultSet", TOGETHER)

_joining: ContextVar[bool] = ContextVar("celery_compat.joining", default=False)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Within this a task may wait for another by ``get()``."""
    token = _joining.set(True)
    try:
        yield
    finally:
        _joining.reset(token)


class Result:
    """What AsyncResult and EagerResult have in common."""

    def __init__(self, id: str) -> None:
        if not isinstance(id, str):
            raise ValueError(f"A task's id is a text, not {id!r}.")
        self.id = id

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def task_id(self) -> str:
        """The same as ``id``."""
        return self.id

    def _look(self) -> Look:
        raise NotImplementedError

    @property
    def state(self) -> str:
        """Celery's name of the state, or what ``update_state()`` set."""
        return self._look().state

    @property
    def status(self) -> str:
        """The same as ``state``."""
        return self.state

    @property
    def result(self) -> Any:
        """What the task returned, the exception if it failed, else the meta of its state."""
        return self._look().info

    @property
    def info(self) -> Any:
        """The same as ``result``."""
        return self.result

    def ready(self) -> bool:
        """Whether the task is over."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Whether it has returned."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether it has failed."""
        return self.state == states.FAILURE

    def maybe_throw(
        self, propagate: bool = True, callback: Callable[..., Any] | None = None
    ) -> Any:
        """The result; of a task that failed or was revoked the exception is raised."""
        look = self._look()
        if propagate and look.state in states.PROPAGATE_STATES:
            raise look.info
        if callback is not None:
            callback(self.id, look.info)
        return look.info

    maybe_reraise = maybe_throw

    @property
    def parent(self) -> None:
        """Always none: tasks do not follow each other."""
        return None

    def __getattr__(self, name: str) -> NoReturn:
        if name in REFUSED:
            raise NotSupported(f"AsyncResult.{name}", REFUSED[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class AsyncResult(Result):
    """A started task: every question looks anew how it is.

    An id that nobody knows is ``PENDING``, as in Celery; with ``strict`` it raises
    ``JobNotFound``.
    """

    def __init__(
        self,
        id: str,
        backend: Any = None,
        task_name: str | None = None,
        app: Client | None = None,
        parent: Any = None,
        *,
        strict: bool = False,
    ) -> None:
        """``backend``, ``task_name`` and ``parent`` change nothing."""
        super().__init__(id)
        self._app = app
        self._found: Installation | None = None
        if strict:
            self.job  # noqa: B018  # for its error

    @property
    def job(self) -> Job[Any]:
        """The job itself, for all that Flask-Backburner can do with it.

        Raises ``JobNotFound``.
        """
        installation = self._installation()
        return Job(self._record(installation), installation)

    def _installation(self) -> Installation:
        if self._found is None:
            self._found = installation_of(self._app)
        return self._found

    def _record(self, installation: Installation) -> JobRecord:
        store = installation.store
        if is_id(self.id):
            try:
                return store.get(self.id)
            except JobForgotten:
                raise
            except JobNotFound:
                pass  # a caller's own id may look like one of ours
        return store.get(store.named(self.id))

    def _look(self) -> Look:
        try:
            job = self.job
        except JobNotFound:
            return Look()
        installation = self._installation()
        definition = installation.definition(job.task)
        tracks_start = getattr(definition, "track_started", False)
        return look_at(job, heard(installation.store.saved(job.id)), tracks_start)

    def exists(self) -> bool:
        """Whether there is a job of this id."""
        return self._look().record is not None

    @property
    def traceback(self) -> str | None:
        """The traceback of a task that failed or is to be tried again."""
        record = self._look().record
        return record.fault.traceback if record and record.fault else None

    @property
    def date_done(self) -> datetime | None:
        """When it ended."""
        record = self._look().record
        return record.finished_at if record else None

    @property
    def name(self) -> str | None:
        """The task's name."""
        record = self._look().record
        return record.task if record else None

    @property
    def queue(self) -> str | None:
        """The queue that it was started in."""
        record = self._look().record
        return record.queue if record else None

    @property
    def retries(self) -> int | None:
        """How often it was tried again."""
        record = self._look().record
        return record.failures if record else None

    @property
    def worker(self) -> str | None:
        """The worker that runs it."""
        record = self._look().record
        return record.worker if record else None

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[..., Any] | None = None,
        on_message: Any = None,
        on_interval: Any = None,
        disable_sync_subtasks: bool = True,
    ) -> Any:
        """Wait for the result, ``timeout`` seconds at most, then raise ``TimeoutError``.

        Raises the exception of a task that failed, unless ``propagate`` is false. There is
        nothing to wait for behind an id that nobody knows: that raises ``JobNotFound``. Within
        a task it raises ``RuntimeError``: waiting for another would hold up the worker.
        ``interval``, ``no_ack`` and ``follow_parents`` change nothing.
        """
        if on_message is not None or on_interval is not None:
            name = "on_interval" if on_message is None else "on_message"
            raise NotSupported(
                f"get({name}=…)", "there are no messages of results. Ask for the state and info."
            )
        if disable_sync_subtasks and _in_job() and not _joining.get():
            raise RuntimeError(
                "A task that waits for another with get() holds its place in the worker, and all "
                "places may come to wait. Return the other's id, or pass "
                "disable_sync_subtasks=False."
            )
        try:
            self.job.wait(timeout)
        except builtins.TimeoutError as error:
            raise TimeoutError(str(error)) from None
        return self.maybe_throw(propagate, callback)

    wait = get

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: Any = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Cancel it; one that runs is asked to stop, ``terminate`` or not.

        It stops at its next ``update_state()``, a task with a ``time_limit`` within seconds.
        With ``wait`` this returns when it has stopped. An unknown id is passed over.
        """
        try:
            job = self.job.cancel()
        except JobNotFound:
            return
        if wait:
            job.wait(timeout)

    def forget(self) -> None:
        """Forget the task now that it is over; its id is ``PENDING`` from then on.

        Raises ``JobNotDone`` before its end. An unknown id is passed over.
        """
        try:
            record = self.job.record
        except JobNotFound:
            return
        if not record.done:
            raise JobNotDone(self.id, record.state)
        installation = self._installation()
        if installation.store.forget(record.id):
            installation.files.remove(record.id)


class EagerResult(Result):
    """The result of a task that ``apply()`` has run here and now."""

    def __init__(
        self, id: str, ret_value: Any, state: str, traceback: str | None = None, name: str = ""
    ) -> None:
        super().__init__(id)
        self.traceback = traceback
        self.name = name
        self._eager = Look(state, ret_value)

    def _look(self) -> Look:
        return self._eager

    def get(self, timeout: float | None = None, propagate: bool = True, **ignored: Any) -> Any:
        """The result; of a task that failed the exception is raised."""
        return self.maybe_throw(propagate)

    wait = get

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """Too late: it has run already."""

    def forget(self) -> None:
        """Nothing of it is stored."""


def installation_of(client: Client | None) -> Installation:
    """Where a result is looked for: with the given Celery object, else with the one here."""
    found = client or client_here()
    if found is None:
        raise NotSupported(
            "AsyncResult without an app", "make a Celery object first, or pass app=celery."
        )
    return found.installation("AsyncResult")


def _in_job() -> bool:
    running = RUNNING.get(None)
    return running is not None and not isinstance(running, PlainCall)
