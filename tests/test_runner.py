"""Running one job: however its code ends, it is a value, and only that job's affair."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from apps.workshop import (
    FOLDER,
    add,
    add_later,
    app_name,
    bad_result,
    chatty,
    ended,
    fail,
    opened,
    tasks,
    tidy,
    tidy_group,
)

from flask_backburner.context import current_job
from flask_backburner.engine.local.engine import ThreadsWorker
from flask_backburner.errors import NoCurrentJob
from flask_backburner.ids import new_id
from flask_backburner.installation import Installation
from flask_backburner.store.new_job import NewJob
from support.journal import Journal
from support.latch import Latch


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with opened() as installation:
        yield installation


@pytest.fixture(autouse=True)
def worker(shop: Installation) -> Iterator[None]:
    """A worker in threads of this process."""
    threads = ThreadsWorker(shop)
    threads.start()
    yield
    threads.stop(0.0)


def test_a_job_runs_and_its_result_is_typed() -> None:
    job = ended(add.delay(2, 3))
    assert (job.state, job.result, job.attempt) == ("succeeded", 5, 1)


def test_an_async_task_runs_and_knows_its_job() -> None:
    job = ended(add_later.delay(2, 3))
    assert (job.result, job.progress.fraction) == (5, 1.0)


def test_a_job_has_an_app_context() -> None:
    assert ended(app_name.delay()).result == "workshop"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt: "),
        ("base", "BaseException: deep"),
        ("error", "ValueError: the secret path"),
        ("untellable", "Untellable: (its text cannot be told: RuntimeError)"),
        ("not text", "OSError: a name \\udcff of no text"),
    ],
)
def test_whatever_a_task_raises_fails_that_job_only(how: str, message: str) -> None:
    job, other = fail.delay(how), add.delay(1, 1)
    fault = ended(job).error
    assert (job.state, fault and fault.code) == ("failed", "error")
    assert fault is not None
    assert (fault.message, fault.public) == (message, False)
    assert fault.traceback is not None
    assert "in fail" in fault.traceback
    assert ended(other).state == "succeeded"


def test_a_job_error_is_meant_for_the_user() -> None:
    fault = ended(fail.delay("words")).error
    assert fault is not None
    assert (fault.code, fault.message, fault.public) == (
        "error",
        "The file has no header row",
        True,
    )


def test_a_result_that_cannot_be_stored_fails_the_job() -> None:
    fault = ended(bad_result.delay()).error
    assert fault is not None
    assert fault.code == "bad_result"
    assert "lock" in fault.message


def test_arguments_that_do_not_fit_any_more_fail_the_job(shop: Installation) -> None:
    """As after a deploy that changed the function."""
    of_older_code = fail.signature.dump_arguments(("exit",), {}, shop.settings.limits)
    job = NewJob(new_id(), add.name, of_older_code)
    shop.store.add([job], 10)
    fault = ended(tasks.job(job.id)).error
    assert fault is not None
    assert (fault.code, fault.public) == ("bad_arguments", False)


def test_what_a_job_logs_is_in_its_log_in_order(caplog: pytest.LogCaptureFixture) -> None:
    job = ended(chatty.delay())
    lines = [(line.level, line.text, line.id) for line in job.log()]
    assert lines == [
        ("warning", "by logging: 1", 1),
        ("info", "by hand", 2),
        ("warning", "by the app", 3),
    ]


def test_two_workers_in_a_process_write_a_line_once(shop: Installation) -> None:
    second = ThreadsWorker(shop)
    second.start()
    job = ended(chatty.delay())
    second.stop(0.0)
    assert len(job.log()) == 3
    logging.getLogger("workshop").info("outside of jobs nothing is captured")


def test_a_job_may_clean_up_when_it_is_cancelled(latch: Latch, journal: Journal) -> None:
    job = tidy.delay()
    latch.arrived(1)
    job.cancel()
    latch.open()
    assert ended(job).state == "cancelled"
    assert [entry.id for entry in journal.entries("tidied")] == [job.id]


def test_a_cancel_that_arrives_inside_a_task_group_is_a_cancel(latch: Latch) -> None:
    job = tidy_group.delay()
    latch.arrived(1)
    job.cancel()
    latch.open()
    assert (ended(job).state, job.error) == ("cancelled", None)


def test_outside_a_job_there_is_no_current_job() -> None:
    with pytest.raises(NoCurrentJob):
        _ = current_job.id
