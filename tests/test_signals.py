"""Signals: sent after the fact, in an app context, and a receiver that fails changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from blinker import NamedSignal
from flask import Flask, current_app, g

from flask_backburner import (
    Job,
    JobError,
    current_job,
    job_cancelled,
    job_failed,
    job_progressed,
    job_queued,
    job_started,
    job_succeeded,
)
from support.apps import Site, site_in, until_state
from support.waiting import until

SIGNALS = [job_queued, job_started, job_progressed, job_succeeded, job_failed, job_cancelled]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


@pytest.fixture
def heard(site: Site) -> Iterator[list[tuple[str, str]]]:
    """The signals that were sent by the app, in order, and the state of each one's job."""
    found: list[tuple[str, str]] = []

    def listener(signal: NamedSignal) -> Any:
        def listen(app: Flask, job: Job[Any]) -> None:
            assert app is site.app
            assert current_app.name == "shop"
            found.append((signal.name, job.state))

        return listen

    with ExitStack() as stack:
        for signal in SIGNALS:
            stack.enter_context(signal.connected_to(listener(signal), site.app))
        yield found


def task(site: Site) -> Any:
    @site.tasks.task(name="work")
    def work(fail: bool) -> None:
        current_job.progress(1, 2)
        if fail:
            raise JobError("no")

    return work


def test_a_job_that_succeeds_is_heard_of(site: Site, heard: list[tuple[str, str]]) -> None:
    task(site).delay(False)
    assert heard == [("job-queued", "queued")]
    site.work()
    assert [name for name, _ in heard if name != "job-progressed"] == [
        "job-queued",
        "job-started",
        "job-succeeded",
    ]
    assert ("job-succeeded", "succeeded") in heard
    assert "job-progressed" in [name for name, _ in heard]


def test_a_job_that_fails_is_heard_of(site: Site, heard: list[tuple[str, str]]) -> None:
    task(site).delay(True)
    site.work()
    assert ("job-failed", "failed") in heard
    assert "job-succeeded" not in dict(heard)


def test_a_queued_job_that_is_cancelled_is_heard_of_once(
    site: Site, heard: list[tuple[str, str]]
) -> None:
    job = task(site).delay(False)
    job.cancel()
    job.cancel()
    site.tasks.job(job.id).cancel()
    assert heard == [("job-queued", "queued"), ("job-cancelled", "cancelled")]


def test_a_running_job_that_is_cancelled_is_heard_of_when_it_has_stopped(
    site: Site, heard: list[tuple[str, str]]
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    @site.tasks.task(name="held")
    def held() -> None:
        reached.set()
        go_on.wait(60)
        until(lambda: current_job.check_cancelled())

    job = held.delay()
    with site.working():
        assert reached.wait(60)
        job.cancel()
        assert "job-cancelled" not in dict(heard)
        go_on.set()
        until_state(job, "cancelled")
        until(lambda: "job-cancelled" in dict(heard))
    assert heard.count(("job-cancelled", "cancelled")) == 1


def test_many_started_at_once_are_each_heard_of(site: Site, heard: list[tuple[str, str]]) -> None:
    task(site).map([(False,), (True,), (False,)])
    assert heard == [("job-queued", "queued")] * 3


def test_nothing_is_heard_of_what_was_refused(site: Site, heard: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="fail"):
        task(site).delay("yes")
    assert heard == []


def test_in_a_view_the_views_own_context_is_kept(site: Site) -> None:
    seen = []
    work = task(site)

    @site.app.post("/start")
    def start() -> Any:
        g.user = "Ada"
        return work.delay(False)

    with job_queued.connected_to(lambda app, job: seen.append(g.get("user")), site.app):
        site.client.post("/start")
        work.delay(False)
    assert seen == ["Ada", None]


def test_a_receiver_that_fails_changes_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(app: Flask, job: Job[Any]) -> None:
        raise RuntimeError("the receiver is broken")

    with ExitStack() as stack:
        for signal in SIGNALS:
            stack.enter_context(signal.connected_to(break_down, site.app))
        job = task(site).delay(False)
        cancelled = task(site).delay(False).cancel()
        site.work()
    assert (job.refresh().state, cancelled.refresh().state) == ("succeeded", "cancelled")
    assert "A receiver of job-queued failed" in caplog.text


def test_an_app_whose_teardown_fails_is_told_of_every_job(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    told = []

    @site.app.teardown_appcontext
    def break_down(error: BaseException | None) -> None:
        if told:
            raise RuntimeError("the teardown is broken")

    def listen(app: Flask, job: Job[Any]) -> None:
        told.append(job.id)

    work = task(site)
    first, second = work.delay(False), work.delay(False)
    with job_started.connected_to(listen, site.app):
        site.work()
    assert set(told) == {first.id, second.id}
    assert "job-started was not told of job" in caplog.text
