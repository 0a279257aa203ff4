"""The memory store as the model of the one on Redis: after every step both tell the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.stores import Home, RedisHome
from test_store_model import Stores, TestStores


class RedisStores(Stores):
    """Whatever is done, in whatever order, both stores agree."""

    @staticmethod
    def make_home(folder: Path) -> Home:
        return RedisHome()


@pytest.mark.usefixtures("redis_server")
class TestRedisStores(RedisStores.TestCase):  # type: ignore[misc,name-defined]  # made by hypothesis
    settings = TestStores.settings


del TestStores  # its tests are run where it is
