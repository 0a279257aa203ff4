"""The depot: an app in the test's own process, and Celery's workers that run its jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from apps import depot
from kombu.connection import Connection

from flask_backburner.engine.celery.engine import CeleryEngine
from flask_backburner.installation import Installation
from support.engines import ON_CELERY, awaited
from support.servers import TESTS, Served, Servers

APP = "apps.depot:app"
LONG = 60.0
"""So many seconds anything may take; a machine under load is slow."""

THREADS = ("--pool", "threads")

on_both = pytest.mark.parametrize("engine_kind", ON_CELERY, indirect=True)
on_redis = pytest.mark.parametrize("engine_kind", ["celery-redis"], indirect=True)


class Depot:
    """The app in the test's process, and workers of it."""

    def __init__(self, serve: Servers, installation: Installation) -> None:
        self._serve = serve
        self.installation = installation
        self.tasks = depot.tasks

    @property
    def celery(self) -> CeleryEngine:
        engine = self.installation.engine
        assert isinstance(engine, CeleryEngine)
        return engine

    def worker(self, *args: str, **env: str) -> Served:
        """A worker that takes jobs; of two processes unless said otherwise."""
        return awaited(self.started("-c", "2", *args, **env))

    def started(self, *args: str, **env: str) -> Served:
        return self._serve.worker(TESTS, APP, *args, env=env)

    def by_celery(self, *args: str) -> Served:
        """A worker as users of Celery start it."""
        return awaited(self.celery_command("worker", "-l", "INFO", *args))

    def celery_command(self, *args: str) -> Served:
        """A command of Celery's own."""
        return self._serve.run(TESTS, "-m", "celery", "-A", "apps.depot:celery_app", *args)

    def broker(self) -> Connection:
        return self.celery.celery_app.connection_for_write()


@contextmanager
def opened_shop(
    env: Mapping[str, str], serve: Servers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Depot]:
    """The app where the environment says, in this process and in those that are started."""
    instance = folder / "instance"
    instance.mkdir()
    for name, value in {**env, depot.FOLDER: str(instance)}.items():
        monkeypatch.setenv(name, value)
        serve.env[name] = value
    with depot.opened() as installation:
        yield Depot(serve, installation)
        serve.stop()
