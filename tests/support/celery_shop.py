"""A Flask app with a Celery object of ours, whose tasks run when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask

from flask_backburner import Backburner
from flask_backburner.celery_compat import Celery, Task
from flask_backburner.testing import JobBench, isolated

SETTINGS = {"task_default_queue": "from text"}


class Shop:
    """The app, its Celery object, and the bench that runs its jobs."""

    def __init__(self, app: Flask, celery: Celery, bench: JobBench) -> None:
        self.app = app
        self.celery = celery
        self.bench = bench

    @property
    def tasks(self) -> Backburner:
        found: Backburner = self.app.extensions["backburner"]
        return found

    def run(self) -> None:
        """Run all that is due."""
        self.bench.run()


def shop_app(folder: Path, **config: Any) -> Flask:
    app = Flask("celery_shop", instance_path=str(folder))
    app.testing = True
    app.config.from_mapping({"BACKBURNER_WORKER": "external", **config})
    return app


@contextmanager
def shop_in(
    folder: Path,
    *,
    task_cls: str | None = None,
    celery_cls: type[Celery] = Celery,
    **settings: Any,
) -> Iterator[Shop]:
    """A shop in an app context; ``settings`` are Celery's."""
    app = shop_app(folder)
    celery = celery_cls(app.name, task_cls=task_cls)
    celery.conf.update(app.config)
    celery.conf.update(settings)
    with isolated(app, folder) as bench, app.app_context():
        yield Shop(app, celery, bench)
    app.extensions["backburner"].close()


class LoudTask(Task):
    """Its tasks shout."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return str(self.run(*args, **kwargs)).upper()
