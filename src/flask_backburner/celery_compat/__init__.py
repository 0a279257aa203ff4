"""Stands in for the ``celery`` package in a Flask app: change the import, and it runs.

No broker, no second terminal. ``from flask_backburner.celery_compat import Celery``; sub-paths
are those of the real package: ``celery_compat.result``, ``.signals``, ``.exceptions``,
``.states``, ``.schedules``, ``.utils.log``. What is not supported says so where it is used.
"""

from .app import Celery
from .canvas import (
    chain,
    chord,
    chunks,
    group,
    maybe_signature,
    signature,
    subtask,
    xmap,
    xstarmap,
)
from .shared import current_app, current_task, shared_task
from .task import Task
from .utils import uuid

__all__ = [
    "Celery",
    "Task",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
    "xmap",
    "xstarmap",
]
