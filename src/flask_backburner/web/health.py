"""Health: whether jobs can be started and are being run, for monitors and load balancers."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response

from ..answer import JSON
from ..errors import StoreError
from ..installation import Installation
from .problem import RETRY_SECONDS

PATIENCE = 5.0
"""So many seconds work may wait without a worker: one that just starts is no outage."""


def health(installation: Installation) -> Response:
    """200 if jobs can be started and each queue with work has a worker, else 503."""
    writable = _is_writable(installation)
    queues = _queues(installation) if writable else {}
    healthy = writable and all(queue["served"] for queue in queues.values())
    body = {
        "status": "ok" if healthy else "failing",
        "store": {"writable": writable},
        "oldest_queued": max((queue["oldest"] for queue in queues.values()), default=None),
        "queues": queues,
    }
    status = 200 if healthy else 503
    response = installation.app.response_class(msgspec.json.encode(body), status, mimetype=JSON)
    response.headers["Cache-Control"] = "no-store"
    if not healthy:
        response.headers["Retry-After"] = RETRY_SECONDS
    return response


def _is_writable(installation: Installation) -> bool:
    try:
        installation.store.check_writable()
    except StoreError as error:
        installation.app.logger.error("The job store cannot be written: %s", error)
        return False
    return True


def _queues(installation: Installation) -> dict[str, Any]:
    """Of each queue with work that could run now: its workers, and how long the oldest waits."""
    serving = [each.queues for each in installation.store.workers()]
    queues = {}
    for queue, oldest in installation.store.oldest_queued().items():
        workers = sum(names is None or queue in names for names in serving)
        queues[queue] = {
            "oldest": round(oldest, 1),
            "workers": workers,
            "served": bool(workers) or oldest < PATIENCE,
        }
    return queues
