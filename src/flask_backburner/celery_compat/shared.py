"""shared_task: tasks that belong to whichever Celery object there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from flask import Flask
from werkzeug.local import LocalProxy

from .app import Celery
from .binding import client_here, clients
from .registry import pending_task, shared
from .request import task_at_work
from .task import Task


class Fallback(Celery):
    """Has the shared tasks of an app for which nobody makes a Celery object."""

    last_resort = True

    def fits(self, app: Flask) -> bool | None:
        others = (client for client in clients() if not client.last_resort)
        return False if any(client.fits(app) is not False for client in others) else None


_fallback: list[Fallback] = []


def _made_fallback() -> Fallback:
    if not _fallback:
        _fallback.append(Fallback())
    return _fallback[0]


def current_celery() -> Celery:
    """The Celery object that is meant here."""
    found = client_here()
    return found if isinstance(found, Celery) else _made_fallback()


def shared_task(*functions: Callable[..., Any], **options: Any) -> Any:
    """Make a function a task of the Celery object that there is or will be: ``@shared_task``.

    Options are as for ``@celery.task``.
    """
    if functions:
        return _share(functions[0], options)
    return lambda function: _share(function, options)


def _share(function: Callable[..., Any], options: Mapping[str, Any]) -> Task:
    name, pending = pending_task(function, options)
    _made_fallback()  # now, while the command that loads the app is known
    shared[name] = pending
    for client in clients():
        if isinstance(client, Celery):
            client.add_pending(name, pending)
    return cast(Task, LocalProxy(lambda: current_celery().tasks[name]))


current_app = cast(Celery, LocalProxy(current_celery))
current_task = cast(Task, LocalProxy(task_at_work))
