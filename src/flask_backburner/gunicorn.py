"""A configuration for gunicorn: ``gunicorn -c python:flask_backburner.gunicorn shop:app``.

Workers then run jobs from their start, not from their first request, know how many live streams
they may hold, and end those when they are told to stop. In a configuration of your own write
``from flask_backburner.gunicorn import *``.
"""

from __future__ import annotations

from typing import Any

from flask import Flask

from .live.server import end_streams, serving
from .signals import app_loaded

__all__ = ["post_worker_init", "worker_exit", "worker_int"]


def post_worker_init(worker: Any) -> None:
    """Make the server known, and start what runs jobs without waiting for a request."""
    serving(worker)
    app = worker.app.wsgi()
    if isinstance(app, Flask):
        app_loaded.send(app)
    extension = getattr(app, "extensions", {}).get("backburner")
    if extension is not None:
        extension.installation(app).engine.start()


def worker_int(worker: Any) -> None:
    """A worker that is interrupted lets go of its streams."""
    end_streams()


def worker_exit(server: Any, worker: Any) -> None:
    """So does one that ends in any other way."""
    end_streams()
