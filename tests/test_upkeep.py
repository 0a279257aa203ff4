"""Upkeep: the duties that one elected process does, when their time has come."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_backburner.files import FileFolder
from flask_backburner.ids import new_id
from flask_backburner.store.base import NewJob, Presence
from flask_backburner.store.memory import Memory, MemoryPresence, MemoryStore
from flask_backburner.upkeep import Upkeep


class CountingStore(MemoryStore):
    """Counts how often the duties were done, and how often somebody wanted to."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.rescues = self.elections = 0

    def rescue(self) -> int:
        self.rescues += 1
        return super().rescue()

    def elect(self, role: str) -> bool:
        self.elections += 1
        return super().elect(role)


@pytest.fixture
def files(tmp_path: Path) -> FileFolder:
    return FileFolder(str(tmp_path / "files"))


def test_only_the_elected_process_does_the_duties_until_it_resigns(files: FileFolder) -> None:
    memory = Memory()
    first, second = CountingStore(memory), CountingStore(memory)
    Upkeep(first, files).work()
    Upkeep(second, files).work()
    assert (first.rescues, second.rescues) == (1, 0)
    Upkeep(first, files).resign()
    Upkeep(second, files).work()
    assert second.rescues == 1


def test_the_duties_wait_for_their_time_and_so_does_the_election(files: FileFolder) -> None:
    """A busy worker comes by thousands of times a second."""
    memory = Memory()
    elected, other = CountingStore(memory), CountingStore(memory)
    for store in (elected, other):
        upkeep = Upkeep(store, files)
        for _ in range(100):
            upkeep.work()
        assert store.elections == 1
    assert (elected.rescues, other.rescues) == (1, 0)


def test_the_jobs_of_a_dead_worker_are_taken_up(
    files: FileFolder, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    store.add([NewJob(new_id(), "task", b"")], 10)
    presence: Presence = store.join(1, None)
    (claim,) = store.turn(presence, room=1, tasks=["task"]).claimed
    assert isinstance(presence, MemoryPresence)
    presence.die()
    Upkeep(store, files).work()
    assert (store.get(claim.id).state, store.get(claim.id).attempt) == ("queued", 0)
    assert "Took up 1 jobs of a worker that died" in caplog.text
