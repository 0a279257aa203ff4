"""Health: whether jobs can be started and are being run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_backburner.clock import Clock
from flask_backburner.store.base import Store
from flask_backburner.store.sqlite import SQLiteStore
from flask_backburner.web import health
from support.apps import Site, site_in


class Later(Clock):
    """A clock that the test moves forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site, site.app.app_context():
        yield site


@pytest.fixture
def later(site: Site) -> Later:
    store = site.tasks.installation(site.app).store
    assert isinstance(store, SQLiteStore)
    store._clock = clock = Later()
    return clock


def store_of(site: Site) -> Store:
    return site.tasks.installation(site.app).store


def asked(site: Site) -> tuple[int, dict[str, Any]]:
    answer = site.client.get("/jobs/health")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers.get("Retry-After") == (None if answer.status_code == 200 else "5")
    return answer.status_code, answer.get_json()


def nothing() -> None:
    """Does it."""


def test_without_work_all_is_well_even_without_a_worker(site: Site) -> None:
    assert asked(site) == (
        200,
        {"status": "ok", "store": {"writable": True}, "oldest_queued": None, "queues": {}},
    )


def test_a_worker_that_is_just_starting_is_no_outage(site: Site, later: Later) -> None:
    site.tasks.task(name="nothing")(nothing).delay()
    later.ahead = health.PATIENCE - 1
    status, said = asked(site)
    assert (status, said["queues"]["default"]["served"]) == (200, True)
    assert (said["queues"]["default"]["workers"], said["status"]) == (0, "ok")


def test_work_that_nobody_does_is_an_outage(site: Site, later: Later) -> None:
    site.tasks.task(name="nothing")(nothing).delay()
    later.ahead = 60.0
    status, said = asked(site)
    assert (status, said["status"]) == (503, "failing")
    assert said["oldest_queued"] == pytest.approx(60, abs=5)
    assert said["queues"]["default"]["served"] is False


def test_a_worker_of_that_queue_ends_the_outage(site: Site, later: Later) -> None:
    task = site.tasks.task(name="nothing")(nothing)
    task.delay()
    task.using(queue="slow").delay()
    later.ahead = 60.0
    fast = store_of(site).join(1, ["default"])
    status, said = asked(site)
    served = {queue: facts["served"] for queue, facts in said["queues"].items()}
    assert (status, served) == (503, {"default": True, "slow": False})
    every = store_of(site).join()
    assert asked(site)[0] == 200
    assert asked(site)[1]["queues"]["default"]["workers"] == 2
    fast.leave()
    every.leave()


def test_work_for_later_is_none_yet_and_then_it_is(site: Site, later: Later) -> None:
    site.tasks.task(name="nothing")(nothing).using(countdown=1000).delay()
    assert asked(site)[1]["queues"] == {}
    later.ahead = 1060.0
    assert asked(site)[0] == 503


def test_external_work_needs_no_worker(site: Site, later: Later) -> None:
    site.tasks.external("transcode")
    later.ahead = 60.0
    assert asked(site) == (
        200,
        {"status": "ok", "store": {"writable": True}, "oldest_queued": None, "queues": {}},
    )


def test_a_store_that_cannot_be_opened_is_an_outage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in-the-way").write_text("a file")
    url = f"sqlite:///{tmp_path}/in-the-way/backburner.db"
    with site_in(tmp_path, BACKBURNER_URL=url) as site:
        status, said = asked(site)
    assert (status, said["status"], said["store"]) == (503, "failing", {"writable": False})
    assert "in-the-way" not in str(said)
    assert "in-the-way" in caplog.text


def test_it_says_nothing_of_places_and_tasks(site: Site, later: Later) -> None:
    site.tasks.task(name="secret_task")(nothing).delay()
    later.ahead = 60.0
    said = str(asked(site)[1])
    assert os.sep not in said
    assert "secret_task" not in said
