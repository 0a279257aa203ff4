"""Fixtures for jobs in Celery's workers: real workers, a real Redis, for some a real RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.depots import Depot, opened_shop
from support.engines import Engine
from support.journal import Journal
from support.servers import Servers


@pytest.fixture
def shop(
    engine: Engine, serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Depot]:
    with opened_shop(engine.env, serve, tmp_path, monkeypatch) as shop:
        yield shop


@pytest.fixture(autouse=True)
def journalled(journal: Journal) -> None:
    """Every job here writes into the journal."""
