"""A job that has crashed its process twice runs alone, where no process of its own can be had."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_backburner import Job, Task
from flask_backburner.engine.local import crew
from flask_backburner.engine.local.worker import Worker
from flask_backburner.record import SUSPICIOUS, Crashed
from flask_backburner.store.claim import Settlement
from support.apps import Site, site_in, until_state
from support.waiting import until

PATIENCE = 60.0


class Yard:
    """An app with a task that waits to be let go, and one that does not."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.said: list[str] = []
        self.gate = threading.Event()
        self.store = site.tasks.installation(site.app).store

        @site.tasks.task(name="hold")
        def hold() -> None:
            self.said.append("hold begins")
            self.gate.wait(PATIENCE)
            self.said.append("hold ends")

        @site.tasks.task(name="quick")
        def quick(word: str) -> None:
            self.said.append(f"{word} begins")
            self.said.append(f"{word} ends")

        @site.tasks.task(name="later")
        async def later(word: str) -> None:
            self.said.append(f"{word} later")

        self.hold: Task[[], None] = hold
        self.quick: Task[[str], None] = quick

        self.later: Task[[str], Any] = later

    def suspect(self, task: Task[[str], Any] | None = None) -> Job[Any]:
        """A job whose process has died twice."""
        job = (task or self.quick).delay("suspect")
        presence = self.store.join()
        for _ in range(SUSPICIOUS):
            turn = until(lambda: self._turn(presence), PATIENCE)
            (claim,) = turn.claimed
            self.store.turn(presence, settled=[Settlement(claim, Crashed())])
        presence.leave()
        return job.refresh()

    def _turn(self, presence: Any) -> Any:
        turn = self.store.turn(presence, room=1, tasks=["quick", "later"])
        return turn if turn.claimed else None


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with site_in(tmp_path, BACKBURNER_THREADS=2) as site, site.app.app_context():
        yard = Yard(site)
        yield yard
        yard.gate.set()


def test_it_waits_until_all_else_has_ended_and_keeps_the_others_out(yard: Yard) -> None:
    suspect, hold = yard.suspect(), yard.hold.delay()
    with yard.site.working():
        until_state(hold, "running")
        until_state(suspect, "running")
        other = yard.quick.delay("other")
        yard.gate.set()
        until_state(other, "succeeded")
    assert (suspect.refresh().state, suspect.attempt) == ("succeeded", SUSPICIOUS + 1)
    assert yard.said == [
        "hold begins",
        "hold ends",
        "suspect begins",
        "suspect ends",
        "other begins",
        "other ends",
    ]


def test_a_long_job_that_keeps_it_waiting_does_not_keep_the_others_waiting_as_long(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "DRAIN_SECONDS", 0.5)
    suspect, hold = yard.suspect(), yard.hold.delay()
    with yard.site.working():
        until_state(hold, "running")
        until(lambda: suspect.refresh().record.fence > SUSPICIOUS, PATIENCE)  # claimed once more
        until_state(yard.quick.delay("other"), "succeeded")
        assert (suspect.refresh().state, suspect.attempt) == ("queued", SUSPICIOUS)
        yard.gate.set()
        until_state(suspect, "succeeded")
    assert yard.said == [
        "hold begins",
        "other begins",
        "other ends",
        "hold ends",
        "suspect begins",
        "suspect ends",
    ]


def test_an_idle_worker_runs_it_soon(yard: Yard) -> None:
    suspect = yard.suspect()
    with yard.site.working():
        until_state(suspect, "succeeded")
        until_state(yard.quick.delay("other"), "succeeded")
    assert yard.said == ["suspect begins", "suspect ends", "other begins", "other ends"]


def test_an_async_one_runs_alone_in_a_thread(yard: Yard) -> None:
    suspect = yard.suspect(yard.later)
    with yard.site.working():
        until_state(suspect, "succeeded")
    assert yard.said == ["suspect later"]


def test_a_burst_does_not_forget_it(yard: Yard) -> None:
    suspect = yard.suspect()
    until(lambda: yard.store.now() >= suspect.run_at.timestamp(), PATIENCE)
    yard.site.work()
    assert suspect.refresh().state == "succeeded"


def test_a_cancel_reaches_it_while_it_waits(yard: Yard) -> None:
    suspect, hold = yard.suspect(), yard.hold.delay()
    with yard.site.working():
        until_state(suspect, "running")
        suspect.cancel()
        until_state(suspect, "cancelled")
        assert hold.refresh().state == "running"
        yard.gate.set()
    assert yard.said == ["hold begins", "hold ends"]


def test_at_shutdown_it_is_handed_back_as_if_it_had_never_been_claimed(yard: Yard) -> None:
    suspect, hold = yard.suspect(), yard.hold.delay()
    worker = Worker(yard.site.tasks.installation(yard.site.app))
    thread = threading.Thread(target=worker.run)
    thread.start()
    until_state(suspect, "running")
    worker.stop(PATIENCE)
    until_state(suspect, "queued")
    yard.gate.set()
    thread.join()
    assert (suspect.attempt, suspect.record.crashes) == (SUSPICIOUS, SUSPICIOUS)
    assert hold.refresh().state == "succeeded"
