"""The memory store as the model of the one on Redis: after every step both tell the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from test_store_model import EXAMPLES, WANTED, Stores, TestSQLite

from flask_backburner.record import State
from support.stores import Home, RedisHome

SHARE = 20
"""Every step is many round trips, so each run tries a part of what is tried on a file."""


class RedisStores(Stores):
    """Whatever is done, in whatever order, both stores agree."""

    @staticmethod
    def make_home(folder: Path) -> Home:
        return RedisHome()

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """Redis knows at once of a job that its worker has lost, others when it is settled."""
        held = [claim for claim, worker in self.holders.items() if worker not in self.dead]
        if not held:
            return
        claim = data.draw(st.sampled_from(held))
        model, real = (side.workers[self.holders[claim]].started(claim) for side in self.sides)
        runs = [
            (job.id, job.fence) for job in self.model.store.find(state=State.RUNNING, limit=1000)
        ]
        assert real is (model and (claim.id, claim.fence) in runs)


@pytest.mark.usefixtures("redis_server")
class TestRedis(RedisStores.TestCase):  # type: ignore[misc,name-defined]  # made by hypothesis
    settings = settings(
        TestSQLite.settings,
        max_examples=EXAMPLES // SHARE if WANTED == EXAMPLES else WANTED,
    )


del TestSQLite  # is run where it is written
