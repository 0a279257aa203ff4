"""Job: the handle that users hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flask_backburner import (
    Job,
    JobError,
    JobFailed,
    JobNotDone,
    JobNotFound,
    Progress,
    State,
    current_job,
)
from support.apps import Site, site_in, until_state
from support.waiting import until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


class Held:
    """A task that stands still until the test lets it go on."""

    def __init__(self, site: Site) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

        @site.tasks.task(name="held")
        def held(answer: str) -> str:
            current_job.progress(1, 4, "Halting")
            current_job.log("halted")
            self.reached.set()
            until(lambda: self.go_on.is_set() or current_job.check_cancelled())
            return answer

        self.task = held


def test_a_new_job_says_what_it_is(site: Site) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    job = Held(site).task.delay("x")
    assert len(job.id) == 22
    assert job.id.isalnum()
    assert (job.task, job.queue, job.state, job.done) == ("held", "default", State.QUEUED, False)
    assert (job.version, job.attempt, job.error) == (1, 0, None)
    assert job.progress == Progress(None, None, None, None)
    assert before <= job.created_at == job.run_at <= datetime.now(UTC)
    assert job.started_at is job.finished_at is None
    assert repr(job) == f"<Job {job.id} held queued>"


def test_a_job_goes_through_its_life(site: Site) -> None:
    held = Held(site)
    job = held.task.delay("done")
    with site.working():
        assert held.reached.wait(60)
        until(lambda: job.refresh().progress.message == "Halting")
        assert (job.state, job.attempt, job.done) == ("running", 1, False)
        assert job.progress.fraction == 0.25
        assert job.started_at is not None
        held.go_on.set()
        assert job.wait(60) is job
    assert (job.state, job.done, job.result) == ("succeeded", True, "done")
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    assert [line.text for line in job.log()] == ["halted"]
    assert job.version > 2


def test_a_handle_says_what_it_saw_until_it_looks_again(site: Site) -> None:
    held = Held(site)
    job, other = held.task.delay("x"), site.tasks.jobs()[0]
    other.cancel()
    assert job.state == "queued"
    assert job.refresh() is job
    assert job.state == "cancelled"


def test_two_handles_of_one_job_are_equal(site: Site) -> None:
    job, other = Held(site).task.map([("a",), ("b",)])
    assert job == site.tasks.job(job.id)
    assert job != other
    assert len({job, site.tasks.job(job.id), other}) == 2


def test_a_result_asked_for_too_early(site: Site) -> None:
    job = Held(site).task.delay("x")
    with pytest.raises(JobNotDone) as early:
        _ = job.result
    assert str(early.value) == (
        f"The job {job.id!r} is queued and has no result yet. Call wait() first, or ask later."
    )
    assert (early.value.id, early.value.state) == (job.id, "queued")


def failure(job: Job[Any]) -> JobFailed:
    with pytest.raises(JobFailed) as failed:
        _ = job.refresh().result
    return failed.value


def test_a_result_that_will_never_be(site: Site) -> None:
    @site.tasks.task(name="refuse")
    def refuse() -> None:
        raise JobError("The file has no header row")

    refused, cancelled = refuse.delay(), refuse.delay().cancel()
    site.work()
    assert str(failure(refused)) == (
        f"The job {refused.id!r} has no result: The file has no header row (error)"
    )
    assert (failure(refused).code, failure(refused).reason) == (
        "error",
        "The file has no header row",
    )
    assert failure(cancelled).code == "cancelled"


def test_a_result_is_what_the_hint_says(site: Site) -> None:
    @site.tasks.task(name="when")
    def when(at: datetime) -> list[datetime]:
        return [at]

    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    job = when.delay(at)
    site.work()
    assert job.refresh().result == [at]


def test_a_result_of_an_unknown_task_is_plain_json(site: Site) -> None:
    @site.tasks.task(name="gone")
    def gone() -> set[int]:
        return {1}

    job = gone.delay()
    site.work()
    del site.tasks._tasks["gone"]
    assert site.tasks.job(job.id).result == [1]


def test_waiting_in_vain(site: Site) -> None:
    job = Held(site).task.delay("x")
    for timeout in (0, 0.01, -1):
        with pytest.raises(TimeoutError) as late:
            job.wait(timeout)
        assert str(late.value) == (
            f"The job {job.id!r} is still queued after {timeout} s. No worker is there to run it: "
            "start one with `flask jobs worker`; a web process starts its own at its first request."
        )
    assert job.cancel().wait(0).state == "cancelled"


def test_a_queued_job_is_cancelled_at_once_and_never_runs(site: Site) -> None:
    held = Held(site)
    job = held.task.delay("x")
    assert job.cancel() is job
    assert (job.state, job.record.cancel_requested) == ("cancelled", True)
    version = job.version
    site.work()
    assert job.cancel().version == version
    assert not held.reached.is_set()


def test_a_running_job_is_asked_to_stop_and_stops(site: Site) -> None:
    held = Held(site)
    job = held.task.delay("x")
    with site.working():
        assert held.reached.wait(60)
        job.cancel()
        assert (job.state, job.record.cancel_requested) in [("running", True)]
        until_state(job, "cancelled")
    assert failure(job).reason == "it was cancelled"


def test_a_job_that_is_over_stays_as_it_is(site: Site) -> None:
    held = Held(site)
    held.go_on.set()
    job = held.task.delay("x")
    site.work()
    version = job.refresh().version
    assert (job.cancel().state, job.version) == ("succeeded", version)


def test_the_log_after_a_line(site: Site) -> None:
    @site.tasks.task(name="talk")
    def talk() -> None:
        for number in range(3):
            current_job.log(f"line {number}", level="warning")

    job = talk.delay()
    site.work()
    assert [(line.id, line.level, line.text) for line in job.log()] == [
        (1, "warning", "line 0"),
        (2, "warning", "line 1"),
        (3, "warning", "line 2"),
    ]
    assert [line.id for line in job.log(after=2)] == [3]
    assert job.log(after=3) == []


def test_a_job_of_no_app_here_is_not_found(site: Site, tmp_path: Path) -> None:
    job = Held(site).task.delay("x")
    with site_in(tmp_path / "other", "other") as other, pytest.raises(JobNotFound):
        other.tasks.job(job.id)


def test_a_handle_works_outside_any_context(site: Site) -> None:
    with site.app.app_context():
        job = Held(site).task.delay("x")
    assert job.refresh().document()["links"]["self"] == f"/jobs/{job.id}"
    assert job.cancel().done
