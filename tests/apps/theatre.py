"""An app whose jobs the test drives from outside, and that says how many may watch them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, request

from flask_backburner import Backburner
from flask_backburner.live.budget import Budget
from flask_backburner.live.server import current_server

FOLDER = "THEATRE"

tasks = Backburner()


def create_app() -> Flask:
    """The app, with its store in the folder that the environment names; runs nothing itself."""
    app = Flask("theatre", instance_path=os.environ[FOLDER])
    app.config["BACKBURNER_WORKER"] = "external"
    app.config.from_prefixed_env()
    tasks.init_app(app)
    app.add_url_rule("/constant", "constant", lambda: "constant")
    app.add_url_rule("/seats", "seats", seats)
    return app


def seats() -> dict[str, Any]:
    server = current_server(request.environ)
    return {"server": server.name, "room": server.room, "held": Budget(None).held}


@contextmanager
def opened() -> Iterator[Backburner]:
    """The app in this process, in its context."""
    app = create_app()
    with app.app_context():
        yield tasks
    tasks.installation(app).close()


@tasks.task
def never() -> None:
    """Nobody runs this."""


app = create_app() if FOLDER in os.environ else None
