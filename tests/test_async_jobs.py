"""``async def`` tasks: hundreds at a time on one worker, each in its own app context."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import current_app, g

from flask_backburner import Job, JobError, current_job
from flask_backburner.engine.local.worker import Worker
from support.apps import Site, site_in, until_state
from support.waiting import until

PATIENCE = 60.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site, site.app.app_context():
        yield site


def ended(job: Job[Any]) -> Job[Any]:
    until(lambda: job.refresh().done, PATIENCE, lambda: f"the end of {job}")
    return job


def test_five_hundred_jobs_wait_at_the_same_time(site: Site) -> None:
    """Each waits for all: one after the other, or a hundred at a time, they would never end."""
    here: list[int] = []
    all_here = asyncio.Event()

    @site.tasks.task(name="wait")
    async def wait(number: int) -> int:
        here.append(number)
        if len(here) == 500:
            all_here.set()
        await all_here.wait()
        return number

    jobs = wait.map([(number,) for number in range(500)])
    with site.working():
        results = [ended(job).result for job in jobs]
    assert results == list(range(500))


def test_five_hundred_jobs_of_a_second_take_no_longer_than_a_few(site: Site) -> None:
    """A minute is allowed for what takes less than three seconds; one by one it were 500."""

    @site.tasks.task(name="wait")
    async def wait() -> None:
        await asyncio.sleep(1)

    wait.map([()] * 500)
    with site.working():
        counters = site.tasks.installation(site.app).store.counters
        until(lambda: counters() == {("default", "succeeded"): 500})


def test_each_job_has_an_app_context_of_its_own_across_its_awaits(site: Site) -> None:
    met: list[int] = []

    @site.tasks.task(name="remember")
    async def remember(number: int) -> tuple[str, int, str]:
        g.number = number
        met.append(number)
        while len(met) < 20:
            await asyncio.sleep(0)
        return current_app.name, g.number, current_job.id

    jobs = remember.map([(number,) for number in range(20)])
    with site.working():
        for number, job in enumerate(jobs):
            assert ended(job).result == ("shop", number, job.id)


def test_contexts_are_torn_down_at_the_end_of_each_job(site: Site) -> None:
    torn: list[int] = []
    site.app.teardown_appcontext(lambda error: torn.append(g.get("number", -1)))

    @site.tasks.task(name="number")
    async def number(value: int) -> None:
        g.number = value
        await asyncio.sleep(0)

    jobs = number.map([(1,), (2,)])
    with site.working():
        for job in jobs:
            ended(job)
    assert {1, 2} <= set(torn)


def test_a_cancel_ends_a_job_where_it_waits_and_its_clean_up_may_await(site: Site) -> None:
    cleaned: list[str] = []

    @site.tasks.task(name="listen")
    async def listen() -> None:
        current_job.progress(1)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(current_job.id)

    with site.working():
        job = listen.delay()
        until(lambda: job.refresh().progress.current == 1, PATIENCE)
        job.cancel()
        assert ended(job).state == "cancelled"
    assert cleaned == [job.id]


def test_a_job_that_takes_longer_than_its_timeout_fails_where_it_waits(site: Site) -> None:
    @site.tasks.task(name="listen", timeout=0.2)
    async def listen() -> None:
        await asyncio.Event().wait()

    with site.working():
        fault = ended(listen.delay()).error
    assert fault is not None
    assert (fault.code, fault.message) == (
        "timeout",
        "It ran for longer than its timeout of 0.2 s.",
    )


def test_a_failure_is_the_jobs_own_and_so_is_a_system_exit(site: Site) -> None:
    @site.tasks.task(name="fail")
    async def fail(how: str) -> None:
        await asyncio.sleep(0)
        if how == "exit":
            raise SystemExit(3)
        raise JobError("No such year")

    with site.working():
        failed, left = ended(fail.delay("words")), ended(fail.delay("exit"))
        assert (failed.error.message, left.error.message) == ("No such year", "SystemExit: 3")


def test_a_job_that_cancels_itself_has_failed_and_was_not_cancelled(site: Site) -> None:
    @site.tasks.task(name="give_up")
    async def give_up() -> None:
        raise asyncio.CancelledError

    with site.working():
        job = ended(give_up.delay())
    assert (job.state, job.error.code) == ("failed", "error")


def test_progress_and_log_are_each_jobs_own(site: Site) -> None:
    @site.tasks.task(name="report")
    async def report(number: int) -> None:
        for _ in range(3):
            current_job.progress(number, 10)
            site.app.logger.warning("number %d", number)
            await asyncio.sleep(0)

    jobs = report.map([(number,) for number in range(5)])
    with site.working():
        for number, job in enumerate(jobs):
            assert ended(job).progress.current == number
            assert [line.text for line in job.log()] == [f"number {number}"] * 3


def test_plain_and_async_jobs_run_side_by_side(site: Site) -> None:
    """The plain one waits for an async one, which waits for the plain one to have begun."""
    begun, let_go = threading.Event(), threading.Event()

    @site.tasks.task(name="plain")
    def plain() -> bool:
        begun.set()
        return let_go.wait(PATIENCE)

    @site.tasks.task(name="later")
    async def later() -> None:
        while not begun.is_set():
            await asyncio.sleep(0)
        let_go.set()

    jobs = [plain.delay(), later.delay()]
    with site.working():
        assert [ended(job).state for job in jobs] == ["succeeded", "succeeded"]
    assert jobs[0].result is True


def test_a_job_that_still_waits_after_the_grace_is_handed_back_with_its_clean_up_done(
    site: Site,
) -> None:
    cleaned: list[int] = []

    @site.tasks.task(name="listen")
    async def listen() -> int:
        current_job.progress(1)
        try:
            if current_job.attempt == 1:
                await asyncio.Event().wait()
        finally:
            cleaned.append(current_job.attempt)
        return current_job.attempt

    job = listen.delay()
    worker = Worker(site.tasks.installation(site.app))
    handed_back: list[int] = []
    thread = threading.Thread(target=lambda: handed_back.append(worker.run()))
    thread.start()
    until(lambda: job.refresh().progress.current == 1, PATIENCE)
    worker.stop(0.0)
    thread.join()
    assert (handed_back, cleaned) == ([1], [1])
    assert (until_state(job, "queued").attempt, job.record.crashes) == (1, 0)
    site.work()
    assert ended(job).result == 2
