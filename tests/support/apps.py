"""Apps with jobs in the test's own process, where nothing runs but when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from flask_backburner import Backburner, Job
from flask_backburner.engine.local.worker import Worker
from support.waiting import until


class Site:
    """An app, its jobs, and a client."""

    def __init__(self, app: Flask, tasks: Backburner) -> None:
        self.app = app
        self.tasks = tasks
        self.client: FlaskClient = app.test_client()

    def work(self) -> None:
        """Run all that is queued, here and now."""
        Worker(self.tasks.installation(self.app), burst=True).run()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have a worker in a thread for as long as this lasts."""
        worker = Worker(self.tasks.installation(self.app))
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield
        finally:
            worker.stop(10.0)
            thread.join()


@contextmanager
def site_in(folder: Path, name: str = "shop", **config: Any) -> Iterator[Site]:
    """An app that keeps its jobs in ``folder``; its workers are the test's business."""
    app = Flask(name, instance_path=str(folder))
    app.testing = True
    app.config.from_mapping({"BACKBURNER_WORKER": "external", **config})
    tasks = Backburner()
    tasks.init_app(app)
    try:
        yield Site(app, tasks)
    finally:
        tasks.close()


def until_state(job: Job[Any], state: str) -> Job[Any]:
    """Wait until the job is in this state."""
    until(lambda: job.refresh().state == state, what=f"{job!r} to be {state}")
    return job
