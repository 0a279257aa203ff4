"""Upkeep: the duties that one elected process does, when their time has come."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from flask_backburner.errors import StoreError
from flask_backburner.files import FileFolder
from flask_backburner.ids import new_id
from flask_backburner.store.base import Presence
from flask_backburner.store.memory import Memory, MemoryPresence, MemoryStore
from flask_backburner.store.new_job import NewJob
from flask_backburner.upkeep import SWEEP_AGE, Upkeep
from support.waiting import until


class CountingStore(MemoryStore):
    """Counts how often the duties were done; a rescue may be made to fail."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.rescues = self.tended = 0
        self.broken = False

    def rescue(self, hang: float | None = None) -> list[str]:
        self.rescues += 1
        if self.broken:
            raise StoreError("No rescue today.")
        return super().rescue(hang)

    def tend(self) -> None:
        self.tended += 1


@pytest.fixture
def files(tmp_path: Path) -> FileFolder:
    return FileFolder(str(tmp_path / "files"))


def test_only_the_elected_process_does_the_duties_until_it_resigns(files: FileFolder) -> None:
    memory = Memory()
    first, second = CountingStore(memory), CountingStore(memory)
    Upkeep(first, files).work()
    Upkeep(second, files).work()
    assert (first.rescues, second.rescues) == (1, 0)
    Upkeep(first, files).stop(0.0)
    Upkeep(second, files).work()
    assert second.rescues == 1


def test_another_process_rescues_too_if_the_elected_one_hangs(files: FileFolder) -> None:
    memory = Memory()
    hanging, other = CountingStore(memory), CountingStore(memory)
    Upkeep(hanging, files).work()
    standing_in = Upkeep(other, files, hang=0.04)
    until(lambda: standing_in.work() or other.rescues)
    assert (hanging.rescues, hanging.tended, other.tended) == (1, 1, 0)


def test_a_duty_that_fails_stops_none_of_the_others_and_is_told_once(
    files: FileFolder, caplog: pytest.LogCaptureFixture
) -> None:
    store = CountingStore(Memory())
    store.broken = True
    upkeep = Upkeep(store, files)
    upkeep.work()
    upkeep.work()
    assert (store.rescues, store.tended) == (2, 2)
    assert caplog.text.count("The rescue of jobs waits for its store: No rescue today.") == 1


def test_the_duties_are_done_in_a_thread_until_it_is_stopped(files: FileFolder) -> None:
    store = CountingStore(Memory())
    upkeep = Upkeep(store, files)
    upkeep.start()
    until(lambda: store.tended > 1)
    upkeep.stop(5.0)
    assert "backburner-upkeep" not in {thread.name for thread in threading.enumerate()}
    upkeep.stop(5.0)


def test_the_jobs_of_a_dead_worker_are_taken_up(
    files: FileFolder, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    store.add([NewJob(new_id(), "task", b"")], 10)
    presence: Presence = store.join(1, None)
    (claim,) = store.turn(presence, room=1, tasks=["task"]).claimed
    assert isinstance(presence, MemoryPresence)
    presence.die()
    told: list[str] = []
    Upkeep(store, files, told.extend).work()
    assert (store.get(claim.id).state, store.get(claim.id).attempt) == ("queued", 0)
    assert told == [claim.id]
    assert f"Took up jobs whose worker had died or hung, or whose time was up: {claim.id}" in (
        caplog.text
    )


def test_files_without_a_job_are_swept_once_they_are_old(files: FileFolder) -> None:
    store = MemoryStore()
    kept, orphan, young = new_id(), new_id(), new_id()
    store.add([NewJob(kept, "task", b"")], 10)
    for id in (kept, orphan, young):
        files.attach(id, b"x", "x.txt", None)
    (files.folder / "not-a-job").mkdir()
    old = time.time() - SWEEP_AGE - 1
    for name in (kept, orphan, "not-a-job"):
        os.utime(files.folder / name, (old, old))
    Upkeep(store, files).work()
    assert {path.name for path in files.folder.iterdir()} == {kept, young, "not-a-job"}
