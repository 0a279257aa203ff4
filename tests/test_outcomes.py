"""How an attempt ends is a value: the same for plain and async tasks, whatever stops them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import current_app, g
from msgspec.structs import replace

from flask_backburner import JobCancelled, JobError, current_job
from flask_backburner.errors import JobInterrupted, JobReleased, JobTimedOut
from flask_backburner.installation import Installation
from flask_backburner.record import (
    Cancelled,
    Failed,
    Fault,
    Outcome,
    Released,
    Retry,
    Succeeded,
)
from flask_backburner.runner import run_job, run_job_async, stopped
from flask_backburner.running import RunningJob
from flask_backburner.store.claim import Claim
from support.apps import Site, site_in


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def installation(site: Site) -> Installation:
    return site.tasks.installation(site.app)


def claimed(site: Site, name: str, *, retries: int = 0, failures: int = 0) -> RunningJob:
    claim = Claim("id", 1, name, "default", 1, b"{}", retries=retries, failures=failures)
    return RunningJob(claim, installation(site).files, lambda report: True)


def define(site: Site, function: Callable[[], Any], **options: Any) -> None:
    site.tasks.task(name="work", **options)(function)


async def waiting_for_ever() -> None:
    await asyncio.Event().wait()


async def stop(site: Site, how: type[JobInterrupted] | None, **claim: int) -> Outcome:
    """The outcome of ``work``, a task that waits, once it is stopped so."""
    running = claimed(site, "work", **claim)
    task = asyncio.create_task(run_job_async(installation(site), running))
    while not running.began_at:
        await asyncio.sleep(0)
    running.interrupt = how
    task.cancel()
    return await task


def bare(outcome: Outcome) -> Outcome:
    """The outcome without the traceback that operators get."""
    if isinstance(outcome, Failed | Retry):
        return replace(outcome, fault=replace(outcome.fault, traceback=None))
    return outcome


TOO_LONG = Fault("timeout", "It ran for longer than its timeout of 5 s.")


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        (JobCancelled, Cancelled()),
        (JobReleased, Released()),
        (JobTimedOut, Failed(TOO_LONG)),
    ],
)
def test_an_async_job_is_stopped_by_cancelling_it(
    site: Site, how: type[JobInterrupted], outcome: Outcome
) -> None:
    define(site, waiting_for_ever, timeout=5)
    assert bare(asyncio.run(stop(site, how))) == outcome


def test_an_async_job_that_cancels_itself_has_failed(site: Site) -> None:
    define(site, waiting_for_ever)
    outcome = asyncio.run(stop(site, None))
    assert isinstance(outcome, Failed)
    assert outcome.fault.message == "CancelledError: "


def test_an_async_job_may_clean_up_when_it_is_stopped(site: Site) -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append(current_app.name)

    define(site, work)
    assert asyncio.run(stop(site, JobCancelled)) == Cancelled()
    assert seen == ["shop"]


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        (JobCancelled, Cancelled()),
        (JobReleased, Released()),
        (JobTimedOut, Failed(TOO_LONG)),
    ],
)
def test_a_job_whose_clean_up_fails_was_stopped_all_the_same(
    site: Site, how: type[JobInterrupted], outcome: Outcome
) -> None:
    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionError("is closed")

    def plain() -> None:
        try:
            current_job.check_cancelled()
        finally:
            raise ConnectionError("is closed")

    define(site, waiting, timeout=5)
    assert bare(asyncio.run(stop(site, how))) == outcome
    site.tasks.task(name="plain", timeout=5)(plain)
    running = claimed(site, "plain")
    running.interrupt = how
    assert bare(run_job(installation(site), running)) == outcome


def test_a_job_may_find_words_for_why_it_stops(site: Site) -> None:
    def work() -> None:
        try:
            current_job.check_cancelled()
        except JobTimedOut as error:
            raise JobError("That is too much at once: choose a shorter time") from error

    define(site, work, timeout=5)
    running = claimed(site, "work")
    running.interrupt = JobTimedOut
    words = Fault("error", "That is too much at once: choose a shorter time", public=True)
    assert run_job(installation(site), running) == Failed(words)


def test_an_error_after_a_stop_that_did_not_arrive_is_the_jobs_own(site: Site) -> None:
    def work() -> None:
        raise ValueError("x")

    define(site, work)
    running = claimed(site, "work")
    running.interrupt = JobCancelled
    outcome = run_job(installation(site), running)
    assert isinstance(outcome, Failed)
    assert outcome.fault.message == "ValueError: x"


def test_an_async_job_that_gives_a_result_all_the_same_has_succeeded(site: Site) -> None:
    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "just in time"
        return "never"

    define(site, work)
    assert asyncio.run(stop(site, JobCancelled)) == Succeeded(b'"just in time"')


def test_async_jobs_on_one_loop_have_each_their_own_context(site: Site) -> None:
    async def work() -> list[object]:
        g.mine = current_job.id
        await asyncio.sleep(0)
        return [g.mine == current_job.id, current_app.name]

    define(site, work)

    async def all_at_once() -> list[Outcome]:
        jobs = [claimed(site, "work") for _ in range(20)]
        for number, job in enumerate(jobs):
            job.claim = Claim(f"id {number}", 1, "work", "default", 1, b"{}")
        return await asyncio.gather(*(run_job_async(installation(site), job) for job in jobs))

    assert asyncio.run(all_at_once()) == 20 * [Succeeded(b'[true,"shop"]')]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("x")], ids=repr)
def test_whatever_an_async_job_raises_stays_with_it(site: Site, error: BaseException) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise error

    define(site, work)
    outcome = asyncio.run(run_job_async(installation(site), claimed(site, "work")))
    assert isinstance(outcome, Failed)
    assert outcome.fault.message == f"{type(error).__name__}: {error}"


def test_a_plain_function_runs_on_a_loop_as_well(site: Site) -> None:
    define(site, seven)
    outcome = asyncio.run(run_job_async(installation(site), claimed(site, "work")))
    assert outcome == Succeeded(b"7")


def seven() -> int:
    return 7


def stops_at_its_next_report() -> None:
    current_job.progress(1)


@pytest.mark.parametrize(
    ("retry_on", "failures", "outcome"),
    [
        ((Exception,), 0, Retry(TOO_LONG, 30)),
        ((Exception,), 1, Failed(TOO_LONG)),
        ((TimeoutError,), 0, Retry(TOO_LONG, 30)),
        ((ValueError,), 0, Failed(TOO_LONG)),
    ],
)
def test_a_timeout_is_a_failure_like_any_other(
    site: Site, retry_on: Any, failures: int, outcome: Outcome
) -> None:
    options: dict[str, Any] = {"timeout": 5, "backoff": 30, "retry_on": retry_on}
    define(site, stops_at_its_next_report, **options)
    running = claimed(site, "work", retries=1, failures=failures)
    running.interrupt = JobTimedOut
    ended = run_job(installation(site), running)
    assert bare(ended) == outcome
    assert isinstance(ended, Failed | Retry)
    assert "in stops_at_its_next_report" in (ended.fault.traceback or "")
    assert stopped(installation(site), running.claim, JobTimedOut) == outcome


@pytest.mark.parametrize(
    ("how", "outcome"), [(JobCancelled, Cancelled()), (JobReleased, Released())]
)
def test_a_plain_job_is_stopped_at_its_next_report(
    site: Site, how: type[JobInterrupted], outcome: Outcome
) -> None:
    define(site, stops_at_its_next_report, retries=5)
    running = claimed(site, "work", retries=5)
    running.interrupt = how
    assert run_job(installation(site), running) == outcome
    assert stopped(installation(site), running.claim, how) == outcome


def test_a_job_can_ask_whether_its_time_is_up(site: Site) -> None:
    define(site, seven)
    running = claimed(site, "work")

    def work() -> bool:
        before = current_job.cancel_requested
        running.interrupt = JobTimedOut
        return current_job.cancel_requested and not before

    site.tasks.task(name="asks")(work)
    running.claim = Claim("id", 1, "asks", "default", 1, b"{}")
    assert run_job(installation(site), running) == Succeeded(b"true")


def test_the_time_of_a_job_begins_with_its_function(site: Site) -> None:
    seen: list[float] = []
    running = claimed(site, "work")

    def work() -> None:
        seen.append(running.began_at)

    define(site, work)
    assert running.began_at == 0.0
    run_job(installation(site), running)
    assert seen == [running.began_at]
    assert running.began_at > 0


def test_a_task_that_is_not_known_any_more_is_not_tried_again(site: Site) -> None:
    outcome = run_job(installation(site), claimed(site, "gone", retries=5))
    assert isinstance(outcome, Failed)
    assert outcome.fault.message == "DefinitionError: This worker knows no task 'gone'."


def test_an_error_in_the_apps_own_teardown_fails_the_attempt(site: Site) -> None:
    @site.app.teardown_appcontext
    def clean(error: BaseException | None) -> None:
        raise RuntimeError("the app's own")

    define(site, seven, backoff=0)
    outcome = run_job(installation(site), claimed(site, "work", retries=1))
    assert isinstance(outcome, Retry)
    assert outcome.fault.message == "RuntimeError: the app's own"
