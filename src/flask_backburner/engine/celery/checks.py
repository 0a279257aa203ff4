"""What has to be right before a worker of Celery's starts; each wrong thing in words."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from celery import Celery
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.solo import TaskPool as Solo
from celery.concurrency.thread import TaskPool as Threads

from ...errors import BackburnerError
from ...installation import Installation
from .tokens import JSON_ONLY

BILLIARD = (4, 3, 2)


class NotReady(BackburnerError):
    """A worker cannot start like this."""


def check_worker(installation: Installation, app: Celery, pool: type[Any]) -> None:
    """Raises ``NotReady``."""
    check_json(app)
    check_billiard(version("billiard"))
    check_pool(installation, pool)


def check_json(app: Celery) -> None:
    """Celery must take and send nothing but JSON: what else it knows can run code."""
    wrong = {key: app.conf[key] for key, json in JSON_ONLY.items() if app.conf[key] != json}
    if wrong:
        listed = ", ".join(f"{key} is {value!r}" for key, value in wrong.items())
        raise NotReady(
            f"Celery is configured to take more than JSON: {listed}. Leave these settings of "
            "celery_app as they were: messages carry nothing but a hint."
        )


def check_billiard(found: str) -> None:
    """Older ones let a deeply nested message end Celery's first process."""
    numbers = tuple(int(part) for part in found.split(".")[:3] if part.isdigit())
    if numbers < BILLIARD:
        least = ".".join(map(str, BILLIARD))
        raise NotReady(
            f"billiard {found} is installed, with which a nested message can end the worker. "
            f"Install at least {least}: pip install 'Flask-Backburner[celery]'"
        )


def has_processes(pool: type[Any]) -> bool:
    """Whether each job of this pool has a process that it shares with no other."""
    return issubclass(pool, Prefork)


def check_pool(installation: Installation, pool: type[Any]) -> None:
    """Only pools whose jobs can be told to stop and spoken for; processes for those who ask."""
    if has_processes(pool):
        return
    if not issubclass(pool, (Threads, Solo)):
        raise NotReady(
            f"Celery's pool {pool.__module__} cannot run jobs. Choose --pool prefork or threads."
        )
    wanting = sorted(task.name for task in installation.tasks.values() if task.process)
    if wanting:
        raise NotReady(
            f"{', '.join(wanting)} asked for a process of its own (process=True), which Celery's "
            "pools solo and threads have not. Start the worker with --pool prefork."
        )
