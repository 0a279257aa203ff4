"""Requests that wait because their client asked for it: for news, or for the end of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from flask_backburner.external import ExternalJob
from flask_backburner.live import waits
from flask_backburner.live.budget import Budget
from flask_backburner.live.preference import preferred_wait
from flask_backburner.store import diagnosis
from support.apps import Site, site_in
from support.waiting import until

HTML = {"Accept": "text/html"}
MINUTE = "wait=60"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    opening = site_in(tmp_path, BACKBURNER_MAX_STREAMS=2, BACKBURNER_MAX_WAIT=30)
    with opening as site, site.app.app_context():
        yield site


@pytest.fixture
def work(site: Site) -> ExternalJob:
    """A job that runs, and goes on as the test says."""
    work = site.tasks.external("transcode")
    work.start()
    return work


@pytest.fixture
def ask(site: Site) -> Iterator[Callable[..., Future[TestResponse]]]:
    """Ask for a job in a thread; returns when the request waits."""
    with ThreadPoolExecutor(4) as clients:

        def ask(path: str, method: str = "GET", **headers: str) -> Future[TestResponse]:
            before = held()
            shown = {name.replace("_", "-"): value for name, value in headers.items()}
            client = site.app.test_client()
            answer = clients.submit(client.open, path, method=method, headers=shown)
            until(lambda: held() > before, what="the request to wait")
            return answer

        yield ask


def held() -> int:
    return Budget(None).held


def get(site: Site, work: ExternalJob, **headers: str) -> TestResponse:
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return site.client.get(f"/jobs/{work.id}", headers=shown)


def tag(site: Site, work: ExternalJob) -> str:
    return get(site, work).headers["ETag"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=5", 5),
        ("respond-async, wait=7", 7),
        ("WAIT = 3", 3),
        ("wait=1, wait=2", 1),
        ("wait=4; strictly", 4),
        ("wait=0", 0),
        ("wait", None),
        ("wait=", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=soon", None),
        ("wait=" + "9" * 50, None),
        ("await=5", None),
        ('foo="a, wait=5"', None),
        ("", None),
        (",;=\udcff", None),
    ],
)
def test_what_is_not_understood_counts_as_not_said(header: str, seconds: int | None) -> None:
    assert preferred_wait({"HTTP_PREFER": header}) == seconds


def test_a_long_poll_ends_with_the_next_change(
    site: Site, work: ExternalJob, ask: Callable[..., Future[TestResponse]]
) -> None:
    poll = ask(f"/jobs/{work.id}", Prefer=MINUTE, If_None_Match=tag(site, work))
    work.progress(1, 2)
    answer = poll.result()
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, MINUTE)
    assert answer.json is not None
    assert answer.json["progress"]["fraction"] == 0.5
    assert held() == 0


def test_a_long_poll_without_news_ends_with_304(site: Site, work: ExternalJob) -> None:
    answer = get(site, work, Prefer="wait=1", If_None_Match=tag(site, work))
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_old_news_are_answered_at_once(site: Site, work: ExternalJob) -> None:
    old = tag(site, work)
    work.progress(1, 2)
    answer = get(site, work, Prefer=MINUTE, If_None_Match=old)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, MINUTE)


def test_nobody_waits_for_news_of_a_job_that_is_over(site: Site, work: ExternalJob) -> None:
    work.succeed()
    answer = get(site, work, Prefer=MINUTE, If_None_Match=tag(site, work))
    assert answer.status_code == 304


def test_without_a_tag_the_answer_waits_for_the_end(
    site: Site, work: ExternalJob, ask: Callable[..., Future[TestResponse]]
) -> None:
    poll = ask(f"/jobs/{work.id}", Prefer=MINUTE)
    work.progress(1, 2)
    work.succeed(3)
    answer = poll.result()
    assert (answer.json or {})["result"] == 3
    assert answer.headers["Preference-Applied"] == MINUTE


def test_a_page_does_not_wait(site: Site, work: ExternalJob) -> None:
    answer = get(site, work, Prefer=MINUTE, Accept="text/html")
    assert "Preference-Applied" not in answer.headers


def test_the_configuration_bounds_every_wait(tmp_path: Path) -> None:
    opening = site_in(tmp_path, BACKBURNER_MAX_STREAMS=1, BACKBURNER_MAX_WAIT=0.01)
    with opening as site, site.app.app_context():
        work = site.tasks.external("transcode")
        answer = get(site, work, Prefer="wait=999999")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=999999")


def test_without_room_the_answer_comes_at_once(
    site: Site, work: ExternalJob, ask: Callable[..., Future[TestResponse]]
) -> None:
    polls = [ask(f"/jobs/{work.id}", Prefer=MINUTE) for _ in range(2)]
    answer = get(site, work, Prefer=MINUTE)
    assert (answer.json or {})["state"] == "running"
    assert "Preference-Applied" not in answer.headers
    work.succeed()
    assert {poll.result().status_code for poll in polls} == {200}


def test_a_change_of_the_place_in_line_is_news_to_a_long_poll(
    site: Site, ask: Callable[..., Future[TestResponse]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "DIAGNOSIS_INTERVAL", 0.02)
    monkeypatch.setattr(diagnosis, "PATIENCE_FOR_WORKER", 1000.0)
    job = site.tasks.task(name="late")(nothing).delay()
    before = site.tasks.task(name="first", priority=9)(nothing)
    first = site.client.get(f"/jobs/{job.id}")
    assert first.headers["ETag"] == 'W/"1-in_line.1.-json"'
    poll = ask(f"/jobs/{job.id}", Prefer=MINUTE, If_None_Match=first.headers["ETag"])
    before.delay()
    assert (poll.result().json or {})["waiting"]["position"] == 2


def nothing() -> None:
    """A task that is never run, or ends at once."""


# The view that starts a job


@pytest.fixture
def shop(site: Site) -> Site:
    add = site.tasks.task(name="nothing")(nothing)

    @site.app.post("/start")
    def start() -> Any:
        return add.delay()

    @site.app.post("/start/waiting")
    def start_waiting() -> Any:
        return add.delay().accepted(wait=20)

    return site


def test_a_client_that_wants_to_wait_gets_the_finished_job(shop: Site) -> None:
    with shop.working():
        answer = shop.client.post("/start", headers={"Prefer": MINUTE})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, MINUTE)
    assert (answer.json or {})["state"] == "succeeded"


def test_a_client_that_has_waited_in_vain_gets_the_202(shop: Site) -> None:
    answer = shop.client.post("/start", headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=1")


def test_a_browser_is_sent_to_the_page_at_once(shop: Site) -> None:
    answer = shop.client.post("/start", headers={"Prefer": MINUTE, **HTML})
    assert (answer.status_code, answer.headers.get("Preference-Applied")) == (303, None)


def test_the_wait_of_the_developer_needs_no_room(shop: Site) -> None:
    with shop.working(), ThreadPoolExecutor(4) as clients:
        waits = [clients.submit(shop.app.test_client().post, "/start/waiting") for _ in range(4)]
        assert [wait.result().status_code for wait in waits] == [200] * 4
    assert held() == 0
