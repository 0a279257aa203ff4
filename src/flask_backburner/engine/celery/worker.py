"""Celery's worker, as ``flask jobs worker`` starts it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Literal

from .engine import CeleryEngine

Pool = Literal["prefork", "threads"]
# They have a line for every message, which says nothing of jobs.
_TALKERS = ("celery.app.trace", "celery.worker.strategy")


def run_worker(
    engine: CeleryEngine,
    *,
    size: int,
    queues: Collection[str] | None,
    pool: Pool,
    grace: float,
) -> int:
    """Run jobs until told to stop; gives back the process's exit code."""
    for talker in _TALKERS:
        logging.getLogger(talker).setLevel(logging.WARNING)
    engine.grace = grace
    worker = engine.celery_app.Worker(
        queues=engine.names.for_worker(queues),
        concurrency=size,
        pool_cls=pool,
        loglevel="INFO",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    return int(worker.exitcode or engine.handed_back > 0)
