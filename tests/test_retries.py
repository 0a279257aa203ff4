"""A job that fails is tried again: how often, after what, how long it waits, and what is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_backburner import (
    Job,
    JobError,
    current_job,
    job_failed,
    job_retried,
)
from flask_backburner.errors import JobNotRetryable
from support.apps import site_in
from support.bench import Bench, bench_in


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_in(tmp_path) as bench:
        yield bench


class Flaky:
    """Fails so many times, then gives the number of the attempt."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.left = failures
        self.error = error or ValueError("not yet")

    def __call__(self) -> int:
        if self.left:
            self.left -= 1
            raise self.error
        return current_job.attempt


def told(job: Job[Any]) -> tuple[str, str, str]:
    assert job.error is not None
    return job.state, job.error.code, job.error.message


def test_a_job_that_failed_is_tried_again_after_its_wait(bench: Bench) -> None:
    job = bench.task(Flaky(2), retries=2, backoff=10).delay()
    assert bench.run() == [job]
    assert told(job.refresh()) == ("queued", "error", "ValueError: not yet")
    assert (job.run_at - job.created_at, job.finished_at) == (timedelta(seconds=10), None)
    assert bench.run_after(9.9) == []
    assert bench.run_after(0.1) == [job]
    assert (job.refresh().state, job.attempt) == ("queued", 2)
    assert bench.run_after(10) == [job]
    assert (job.refresh().state, job.result, job.attempt) == ("succeeded", 3, 3)
    assert job.error is None


def test_a_worker_tries_again_by_itself(tmp_path: Path) -> None:
    flaky = Flaky(2)

    def work() -> int:
        return flaky()

    with site_in(tmp_path) as site, site.app.app_context(), site.working():
        job = site.tasks.task(name="work", retries=2, backoff=0.01)(work).delay().wait(60)
        assert (job.state, job.result) == ("succeeded", 3)


def test_a_job_fails_when_its_retries_are_used_up(bench: Bench) -> None:
    job = bench.task(Flaky(9), retries=1, backoff=0).delay()
    assert bench.run() == [job, job]
    assert told(job.refresh()) == ("failed", "error", "ValueError: not yet")
    assert (job.attempt, job.record.retries, job.record.retries_left) == (2, 1, 0)
    assert job.error is not None
    assert "in __call__" in (job.error.traceback or "")


def test_what_the_error_says_is_not_in_the_log_that_users_read(bench: Bench) -> None:
    job = bench.task(Flaky(9, ValueError("secret")), retries=1, backoff=0).delay()
    assert bench.run() == [job, job]
    lines = [line.text for line in job.refresh().log()]
    assert [f"Job {job.id}" in line for line in lines] == [True, True]
    assert [line for line in lines if "secret" in line] == []


def test_a_task_is_not_tried_again_by_itself(bench: Bench) -> None:
    job = bench.task(Flaky(1)).delay()
    assert bench.run() == [job]
    assert job.refresh().state == "failed"


def test_one_start_may_have_more_retries_or_none(bench: Bench) -> None:
    task = bench.task(Flaky(99), retries=1, backoff=0)
    assert len(bench.run()) == 0
    task.using(retries=3).delay()
    assert len(bench.run()) == 4
    task.using(retries=0).delay()
    assert len(bench.run()) == 1


@pytest.mark.parametrize(
    ("error", "retry_on", "attempts"),
    [
        (ConnectionResetError(), (ConnectionError, KeyError), 2),
        (ValueError(), (ConnectionError, KeyError), 1),
        (KeyError(), [KeyError], 2),
        (KeyError(), LookupError, 2),
        (KeyError(), (), 1),
        (SystemExit(1), (Exception,), 1),
        (SystemExit(1), (SystemExit,), 2),
        (KeyboardInterrupt(), (Exception,), 1),
        (JobError("words"), (Exception,), 1),
        (JobError("words"), (Exception, JobError), 2),
        (ExceptionGroup("both", [KeyError(), ConnectionError()]), (LookupError, OSError), 2),
        (ExceptionGroup("both", [KeyError(), ValueError()]), (LookupError, OSError), 1),
        (ExceptionGroup("words", [JobError("words")]), (Exception,), 1),
    ],
    ids=repr,
)
def test_only_what_is_listed_is_tried_again(
    bench: Bench, error: BaseException, retry_on: Any, attempts: int
) -> None:
    job = bench.task(Flaky(9, error), retries=1, backoff=0, retry_on=retry_on).delay()
    bench.run()
    assert (job.refresh().state, job.attempt) == ("failed", attempts)


def test_what_fails_for_good_is_not_tried_again(bench: Bench) -> None:
    job = bench.task(lambda: object(), retries=5, backoff=0).delay()
    assert bench.run() == [job]
    assert job.refresh().error is not None
    assert (job.error and job.error.code) == "bad_result"


def test_arguments_that_do_not_fit_any_more_are_not_tried_again(bench: Bench) -> None:
    @bench.site.tasks.task(name="older", retries=5, backoff=0)
    def older(name: str) -> None:
        """The function as it was when the job was started."""

    job = older.delay("ada")
    del bench.site.tasks._tasks["older"]

    @bench.site.tasks.task(name="older", retries=5, backoff=0)
    def newer(number: int) -> None:
        """As it is now."""

    assert bench.run() == [job]
    assert job.refresh().state == "failed"
    assert (job.error and job.error.code) == "bad_arguments"


def test_a_job_may_ask_for_another_try(bench: Bench) -> None:
    def work() -> int:
        if current_job.attempt < 3:
            current_job.retry(countdown=5)
        return current_job.attempt

    job = bench.task(work, retries=2, retry_on=()).delay()
    assert bench.run() == [job]
    assert told(job.refresh()) == ("queued", "error", "It asked to be tried again.")
    assert bench.run_after(4.9) == []
    assert bench.run_after(0.1) == [job]
    assert bench.run_after(5) == [job]
    assert job.refresh().result == 3


def test_without_a_countdown_the_tasks_backoff_says_when(bench: Bench) -> None:
    job = bench.task(lambda: current_job.retry(), retries=2, backoff=(3, 7)).delay()
    waits = []
    for _ in range(2):
        bench.run()
        waits.append(job.refresh().run_at.timestamp() - bench.clock.now())
        bench.clock.advance(7)
    assert waits == [pytest.approx(3), pytest.approx(7)]


def test_a_job_that_asks_too_often_fails_and_says_so(bench: Bench) -> None:
    def work() -> None:
        try:
            raise ConnectionError("nobody answers")
        except ConnectionError:
            current_job.retry(timedelta(0))

    job = bench.task(work, retries=1).delay()
    assert bench.run() == [job, job]
    assert told(job.refresh()) == (
        "failed",
        "error",
        "It asked to be tried again, but has no retry left of 1: ConnectionError: nobody answers",
    )
    assert job.error is not None
    assert "nobody answers" in (job.error.traceback or "")
    assert job.error.public is False


def test_what_is_tried_again_meanwhile_tells_why(bench: Bench) -> None:
    def work() -> None:
        try:
            raise ConnectionError("nobody answers")
        except ConnectionError:
            current_job.retry()

    job = bench.task(work, retries=1, backoff=60).delay()
    bench.run()
    assert told(job.refresh()) == ("queued", "error", "ConnectionError: nobody answers")


def test_words_for_the_user_stay_so_when_no_retry_is_left(bench: Bench) -> None:
    def work() -> None:
        try:
            raise JobError("The shop is closed")
        except JobError:
            current_job.retry()

    job = bench.task(work).delay()
    bench.run()
    assert job.refresh().error is not None
    assert (job.error and job.error.message) == (
        "It asked to be tried again, but has no retry left of 0: The shop is closed"
    )
    assert job.error is not None
    assert job.error.public


def test_a_wrong_countdown_is_refused(bench: Bench) -> None:
    job = bench.task(lambda: current_job.retry(countdown=-1), retries=0).delay()
    bench.run()
    assert told(job.refresh())[2] == (
        "ValueError: countdown is -1, but must be seconds from now, 0 or more, or a timedelta."
    )


def test_a_cancel_wins_over_a_retry(bench: Bench) -> None:
    def work() -> None:
        bench.site.tasks.job(current_job.id).cancel()
        raise ValueError

    job = bench.task(work, retries=5, backoff=0).delay()
    assert bench.run() == [job]
    assert job.refresh().state == "cancelled"


def test_a_job_that_is_not_begun_in_time_expires(bench: Bench) -> None:
    task = bench.task(lambda: 1, expires=timedelta(minutes=1))
    late, in_time = task.delay(), task.using(expires=3600).delay()
    assert late.record.start_by == late.created_at + timedelta(minutes=1)
    bench.clock.advance(61)
    assert bench.run() == [in_time]
    assert (late.refresh().state, late.error and late.error.code) == ("failed", "expired")
    assert late.attempt == 0


def test_a_start_may_expire_at_a_certain_time(bench: Bench) -> None:
    then = datetime.fromtimestamp(bench.clock.now() + 30, UTC)
    task = bench.task(lambda: 1)
    assert task.using(expires=then).delay().record.start_by == then
    with pytest.raises(ValueError, match="must be seconds from now, more than 0, a timedelta or"):
        task.using(expires=datetime(2030, 1, 1))


def test_a_job_that_was_begun_in_time_does_not_expire_between_tries(bench: Bench) -> None:
    job = bench.task(Flaky(1), expires=10, retries=1, backoff=60).delay()
    bench.run()
    assert bench.run_after(60) == [job]
    assert job.refresh().state == "succeeded"


def test_a_job_that_must_not_run_twice_fails_when_its_worker_died(bench: Bench) -> None:
    def work() -> None:
        current_job.progress(1)

    job = bench.task(work, on_crash="fail", retries=5, backoff=0).delay()
    bench.crash("progress")
    assert bench.run() == []
    assert bench.run_after(60) == []
    assert (job.refresh().state, job.error and job.error.code) == ("failed", "lost")


def test_a_crash_uses_up_no_retry(bench: Bench) -> None:
    def work() -> int:
        current_job.progress(1)
        if current_job.attempt < 3:
            raise ValueError
        return current_job.attempt

    job = bench.task(work, retries=1, backoff=0).delay()
    bench.crash("progress")
    bench.run()
    bench.run_after(1)
    assert (job.refresh().state, job.result) == ("succeeded", 3)
    assert (job.record.failures, job.record.crashes) == (1, 1)


def test_a_failed_job_can_be_put_back_in_line(bench: Bench) -> None:
    job = bench.task(Flaky(2), retries=1, backoff=0).delay()
    bench.run()
    version = job.refresh().version
    assert job.state == "failed"
    assert job.retry() is job
    assert (job.state, job.finished_at, job.done) == ("queued", None, False)
    assert job.version > version
    assert job.record.failures == 0
    assert bench.run() == [job]
    assert (job.refresh().state, job.result) == ("succeeded", 3)


def test_a_cancelled_job_can_be_put_back_in_line(bench: Bench) -> None:
    job = bench.task(lambda: 1).delay().cancel()
    assert job.retry().state == "queued"
    assert bench.run() == [job]
    assert job.refresh().result == 1


def test_only_a_failed_or_cancelled_job_can_be_put_back(bench: Bench) -> None:
    job = bench.task(lambda: 1).delay()
    with pytest.raises(JobNotRetryable, match="is queued"):
        job.retry()
    bench.run()
    with pytest.raises(JobNotRetryable, match="is succeeded"):
        job.retry()


def test_receivers_hear_of_each_new_try(bench: Bench) -> None:
    heard: list[tuple[str, str]] = []

    def hear_retry(app: Flask, job: Job[Any]) -> None:
        heard.append(("retried", job.id))

    def hear_failure(app: Flask, job: Job[Any]) -> None:
        heard.append(("failed", job.id))

    job = bench.task(Flaky(9), retries=1, backoff=60).delay()
    with job_retried.connected_to(hear_retry), job_failed.connected_to(hear_failure):
        bench.run()
        assert heard == [("retried", job.id)]
        bench.run_after(60)
        assert heard == [("retried", job.id), ("failed", job.id)]
        job.retry()
        assert heard[2:] == [("retried", job.id)]


def test_receivers_hear_when_a_job_goes_back_in_line_because_its_worker_died(
    bench: Bench,
) -> None:
    heard: list[tuple[str, int]] = []

    def hear(app: Flask, job: Job[Any]) -> None:
        heard.append((job.id, job.record.crashes))

    job = bench.task(lambda: current_job.progress(1)).delay()
    with job_retried.connected_to(hear):
        bench.crash("claim")  # nothing of it was begun, so nothing is tried again
        bench.run(0)
        assert heard == []
        bench.crash("progress")
        bench.run()
        assert heard == [(job.id, 1)]


def test_a_retry_that_was_cancelled_is_told_as_a_cancel_only(bench: Bench) -> None:
    heard: list[Job[Any]] = []

    def work() -> None:
        bench.site.tasks.job(current_job.id).cancel()
        raise ValueError

    def hear(app: Flask, job: Job[Any]) -> None:
        heard.append(job)

    bench.task(work, retries=1).delay()
    with job_retried.connected_to(hear):
        bench.run()
    assert heard == []
