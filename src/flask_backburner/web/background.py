"""Background views: an ordinary view whose work is done by a job."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import timedelta
from functools import update_wrapper
from typing import Any, Generic, ParamSpec

from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from flask.views import View
from msgspec.structs import replace

from ..codec.shown import show
from ..context import current_job
from ..errors import ConfigError, DefinitionError, JobFailed
from ..ids import new_id
from ..installation import Installation
from ..job import Job
from ..record import State, StoredResponse
from ..task import Task, task_name
from .session_change import session_change, session_texts
from .stored_request import (
    StoredRequest,
    drop_spool,
    in_job,
    restored,
    spool,
    store_request,
)
from .stored_response import answer, store_response

P = ParamSpec("P")
Find = Callable[[str], Installation]
AnyView = Callable[..., Any]
PlainView = Callable[P, ResponseReturnValue | Awaitable[ResponseReturnValue]]

WAIT = 0.5


class ViewTask(Task[[StoredRequest], StoredResponse]):
    """Answers a stored request as the app answers any, and keeps the response."""

    def __init__(
        self, view: AnyView, find: Find, *, name: str | None, queue: str, priority: int
    ) -> None:
        name = task_name(view) if name is None else name
        super().__init__(_serving(find), find, name=name, queue=queue, priority=priority)
        self.__wrapped__ = view

    def start(self, installation: Installation) -> Job[StoredResponse]:
        """Start a job for the request that is being answered."""
        id = new_id()
        try:
            stored = store_request(request, installation.files, id)
            return self._start([((stored,), {})], replace(self.options, id=id))[0]
        except BaseException:
            installation.files.remove(id)
            raise


def _serving(find: Find) -> Callable[[StoredRequest], StoredResponse]:
    def serve(request: StoredRequest) -> StoredResponse:
        installation = find("a background view")
        app = installation.app
        with (
            restored(request, installation.files, current_job.id) as environ,
            app.request_context(environ),
        ):
            before = session_texts()
            response = _respond(app)
            return store_response(installation, response, session_change(before))

    return serve


def _respond(app: Flask) -> Response:
    """What the app answers, up to the functions that see every response on its way out.

    Those run in the web process. Raises what no error handler of the app takes.
    """
    try:
        value = app.preprocess_request()
        if value is None:
            value = app.dispatch_request()
    except Exception as error:
        value = app.handle_user_exception(error)
    return app.make_response(value)


class BackgroundView(Generic[P]):
    """What Flask calls in a view's place: starts a job of it, in which the view itself runs."""

    def __init__(
        self,
        view: PlainView[P],
        find: Find,
        wait: float | timedelta,
        *,
        name: str | None,
        queue: str,
        priority: int,
    ) -> None:
        _check_view(view)
        update_wrapper(self, view)
        self.view = view
        self.wait = _seconds(wait)
        self.task = ViewTask(view, find, name=name, queue=queue, priority=priority)
        self._find = find

    def __repr__(self) -> str:
        return f"<BackgroundView {self.task.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        """Answer a request: with the view's response, or with its job."""
        if in_job(request):
            return current_app.ensure_sync(self.view)(*args, **kwargs)  # type: ignore[no-any-return]  # Flask does not say
        installation = self._find(f"The background view {self.task.name}")
        _check_routes(installation)
        return self._answer(installation, self.task.start(installation))

    def _answer(self, installation: Installation, job: Job[StoredResponse]) -> Response:
        with suppress(TimeoutError):
            job.wait(self.wait)
        if not job.done or job.state is State.CANCELLED:
            accepted = job.accepted()  # waits on if the client prefers that
            if job.state is not State.SUCCEEDED:
                return accepted
        try:
            return answer(installation, job)
        except JobFailed as error:
            if job.error and job.error.traceback:
                error.add_note(job.error.traceback)
            raise


def is_background_view(installation: Installation, task: str) -> bool:
    """Whether the result of this task's jobs is a page of its own."""
    return isinstance(installation.tasks.get(task), ViewTask)


def install_background_views(installation: Installation, known: Collection[AnyView]) -> None:
    """Keep the bodies of requests to background views; ``known`` is what is within those."""
    app = installation.app

    # These run before every before_request function, of which any may read the form.
    @app.url_value_preprocessor
    def keep_body(endpoint: str | None, values: dict[str, Any] | None) -> None:
        if endpoint is None or in_job(request) or request.method == "OPTIONS":
            return
        view = _innermost(app.view_functions[endpoint])
        if isinstance(view, BackgroundView):
            spool(request, installation.files)
        elif view in known:
            _check_registered(view, app)

    @app.teardown_request
    def drop_body(error: BaseException | None) -> None:
        drop_spool(request)


def _check_registered(view: AnyView, app: Flask) -> None:
    inner = map(_innermost, app.view_functions.values())
    if not any(isinstance(each, BackgroundView) and each.view is view for each in inner):
        raise _above_route(view)


def _innermost(view: AnyView) -> AnyView:
    found: AnyView = inspect.unwrap(view, stop=lambda each: isinstance(each, BackgroundView))
    return found


def check_order(view: AnyView, app: Flask) -> None:
    """Refuse a view that Flask knows already without the decorator."""
    if any(view is each for each in app.view_functions.values()):
        raise _above_route(view)


def _above_route(view: AnyView) -> DefinitionError:
    return DefinitionError(
        f"{task_name(view)} is registered with Flask as it was before @tasks.background, so it "
        "would never run in the background. Put @tasks.background below @app.route, directly "
        "above the function."
    )


def _check_view(view: object) -> None:
    if isinstance(view, Task | BackgroundView):
        raise DefinitionError(
            f"{view!r} cannot be made a background view: it runs in the background already. "
            "Put @tasks.background alone on the function of the view."
        )
    if isinstance(view, type) and issubclass(view, View):
        raise DefinitionError(
            f"{view.__name__} is a class. Write `decorators = [tasks.background(wait=0.5)]` "
            "into it, and register it with as_view() as always."
        )
    if not inspect.isfunction(view):
        raise DefinitionError(
            f"{show(view)} cannot be made a background view: only a function can. Write "
            "@tasks.background(wait=0.5) above its `def`."
        )
    if _is_method(view):
        raise DefinitionError(
            f"{view.__qualname__} is a method and cannot be made a background view. Write "
            "`decorators = [tasks.background(wait=0.5)]` into its class instead."
        )


def _is_method(view: AnyView) -> bool:
    outer = view.__qualname__.rpartition(".")[0]
    # The function that as_view() makes of a class is a local one.
    return bool(outer) and not outer.endswith("<locals>")


def _seconds(wait: object) -> float:
    seconds = wait.total_seconds() if isinstance(wait, timedelta) else wait
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise DefinitionError(
            f"wait is {show(wait)}, but must be seconds, 0 or more, or a timedelta: so long a "
            "request waits for the view's own response."
        )
    return float(seconds)


def _check_routes(installation: Installation) -> None:
    if installation.settings.url_prefix is None:
        raise ConfigError(
            "BACKBURNER_URL_PREFIX",
            "BACKBURNER_URL_PREFIX is None, but background views need the routes: the response "
            "of a slow one is fetched there. Set it to a path such as '/jobs'.",
        )
