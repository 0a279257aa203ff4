"""Fixtures for examples: each is run as its reader runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.engines import Engine
from support.examples import EXAMPLES, Run
from support.servers import Served, Servers


@pytest.fixture
def begin(serve: Servers, engine: Engine, tmp_path: Path) -> Run:
    """Start an example as its first lines say, from a copy whose jobs end with the test.

    With a worker of Celery's where the environment leads to one.
    """

    def begin(name: str, **env: str) -> Served:
        folder = tmp_path / "examples"
        folder.mkdir()
        shutil.copy(EXAMPLES / name, folder)
        served = serve.run(tmp_path, f"examples/{name}", env=env)
        known = {"PORT": str(served.port), **env}
        engine.worker(serve, tmp_path, f"examples/{name}", "-c", "2", env=known)
        return served

    return begin


@pytest.fixture
def run(begin: Run) -> Run:
    """Start an example that serves."""
    return lambda name, **env: begin(name, **env).ready()
