"""Stands for ``celery.utils.log``."""

from __future__ import annotations

import logging


def get_task_logger(name: str) -> logging.Logger:
    """A logger for tasks: what a running task logs stands in its job's own log."""
    return logging.getLogger(name)


get_logger = get_task_logger
