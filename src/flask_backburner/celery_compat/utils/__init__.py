"""Stands for ``celery.utils``."""

from __future__ import annotations

from uuid import uuid4


def uuid() -> str:
    """A new id for a task, as ``apply_async(task_id=…)`` takes it."""
    return str(uuid4())
