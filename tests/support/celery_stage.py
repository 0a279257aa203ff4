"""Apps that import Celery's names, on the stages where their tasks can run.

``embedded``: a child of the web server runs them. ``engine``: they are imported from us, and our
engine that is Celery runs them. ``celery``: they are imported from Celery, which runs them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests
from apps.celery_imports import COMPAT, VARIABLE

from support.redis_server import RedisServer, client
from support.servers import Served, Servers
from support.waiting import until

SECONDS = 60.0


class Stage:
    """One of the stages, for one test."""

    def __init__(self, name: str, folder: Path, serve: Servers, redis: RedisServer) -> None:
        """The apps have ``folder`` for their instance."""
        self.name = name
        self._folder = folder
        self._serve = serve
        serve.env.update(CELERY_APP_FOLDER=str(folder), **_environment(name, redis))

    def start(self, module: str, celery: str = "celery", app: str = "app") -> Served:
        """Serve an app, and have its tasks run; ``celery`` is where its Celery object is."""
        served = self._serve.flask_run(self._folder, f"{module}:{app}")
        if self.name == "engine":
            self._await(self._serve.worker(self._folder, f"{module}:{app}", "--threads", "2"))
        if self.name == "celery":
            address = celery if "." in celery else f"{module}.{celery}"
            options = ["-A", address, "worker", "-l", "INFO", "-c", "2", "--without-mingle"]
            self._await(self._serve.run(self._folder, "-m", "celery", *options))
        return served

    def _await(self, worker: Served) -> None:
        until(
            lambda: "ready." in worker.output() or not worker.running(),
            SECONDS,
            lambda: f"a worker that is ready\n{worker.output()}",
        )
        assert worker.running(), worker.output()


def _environment(stage: str, redis: RedisServer) -> dict[str, str]:
    if stage == "embedded":
        return {VARIABLE: COMPAT}
    with client(redis.url) as connection:
        connection.flushdb()
    if stage == "engine":
        return {VARIABLE: COMPAT, "FLASK_BACKBURNER_URL": redis.url}
    return {VARIABLE: "celery", "REDIS_FOR_CELERY": redis.url}


def answer(url: str) -> Any:
    return requests.get(url, timeout=30).json()


def post(url: str, **options: Any) -> requests.Response:
    answer = requests.post(url, timeout=30, allow_redirects=False, **options)
    answer.raise_for_status()
    return answer


def until_answer(url: str, served: Served, expected: object) -> None:
    """Ask until this is the answer."""
    last: list[Any] = [None]

    def is_expected() -> bool:
        last[0] = answer(url)
        return bool(last[0] == expected)

    until(is_expected, SECONDS, lambda: f"{expected}, last was {last[0]}\n{served.output()}")
