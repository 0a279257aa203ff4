"""Fixtures for what ``store/base.py`` promises: each test runs over every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flask_backburner.store.base import Presence, Store
from support.redis_server import RedisServer
from support.stores import HOMES, FakeClock, Home


@pytest.fixture(params=sorted(HOMES))
def home(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer
) -> Iterator[Home]:
    home = HOMES[request.param](tmp_path)
    yield home
    home.close()


@pytest.fixture
def store(home: Home) -> Store:
    return home.store()


@pytest.fixture
def another(home: Home) -> Callable[[], Store]:
    return home.store


@pytest.fixture
def clock(home: Home) -> FakeClock:
    return home.clock


@pytest.fixture
def worker(store: Store) -> Presence:
    return store.join()
