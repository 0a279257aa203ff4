"""External jobs: driven by other code, from any thread or process that has the id."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from flask_backburner import (
    BackburnerError,
    Job,
    JobCancelled,
    JobNotFound,
    Progress,
    job_failed,
    job_progressed,
    job_queued,
    job_started,
    job_succeeded,
)
from flask_backburner.errors import JobDone, ResultError
from flask_backburner.external import ExternalJob
from support.apps import Site, site_in
from support.programs import said


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site, site.app.app_context():
        yield site


@pytest.fixture
def client(site: Site) -> FlaskClient:
    return site.client


@pytest.fixture
def work(site: Site) -> ExternalJob:
    return site.tasks.external("transcode")


def test_it_waits_until_something_is_said(client: FlaskClient, work: ExternalJob) -> None:
    document = client.get(f"/jobs/{work.id}").get_json()
    assert (document["task"], document["state"], document["attempt"]) == ("transcode", "queued", 0)
    assert document["waiting"] is None


def test_its_whole_life_is_seen_over_http(client: FlaskClient, work: ExternalJob) -> None:
    work.start()
    assert client.get(f"/jobs/{work.id}").get_json()["state"] == "running"
    work.progress(3, 4, "Packing")
    progress = client.get(f"/jobs/{work.id}").get_json()["progress"]
    assert (progress["current"], progress["fraction"]) == (3, 0.75)
    assert progress["message"] == "Packing"
    work.log("One file left", "warning")
    (line,) = client.get(f"/jobs/{work.id}/log").get_json()["lines"]
    assert (line["id"], line["level"], line["text"]) == (1, "warning", "One file left")
    assert client.get(f"/jobs/{work.id}/result").status_code == 409
    work.succeed({"files": 4})
    document = client.get(f"/jobs/{work.id}").get_json()
    assert (document["state"], document["result"]) == ("succeeded", {"files": 4})
    assert document["started_at"] <= document["finished_at"]
    assert client.get(f"/jobs/{work.id}/result").get_json() == {"files": 4}


def test_a_failure_is_told_in_its_own_words(client: FlaskClient, work: ExternalJob) -> None:
    work.fail("The disc is scratched")
    assert client.get(f"/jobs/{work.id}").get_json()["error"] == {
        "code": "error",
        "message": "The disc is scratched",
    }


@pytest.mark.parametrize("end", ["succeed", "fail"])
def test_one_that_was_never_started_can_end(site: Site, end: str) -> None:
    work = site.tasks.external("transcode")
    work.succeed() if end == "succeed" else work.fail("No")
    assert work.job.done
    assert work.job.started_at is not None


def test_a_queued_one_is_cancelled_at_once(client: FlaskClient, work: ExternalJob) -> None:
    assert client.post(f"/jobs/{work.id}/cancel").status_code == 200
    for say in (work.start, work.progress, work.succeed, lambda: work.log("Still here")):
        with pytest.raises(JobCancelled):
            say()
    assert client.get(f"/jobs/{work.id}").get_json()["state"] == "cancelled"


def test_a_running_one_is_cancelled_when_it_has_heard_of_it(
    client: FlaskClient, work: ExternalJob
) -> None:
    work.start()
    answer = client.post(f"/jobs/{work.id}/cancel")
    assert (answer.status_code, answer.get_json()["cancel_requested"]) == (202, True)
    assert client.get(f"/jobs/{work.id}").get_json()["state"] == "running"
    with pytest.raises(JobCancelled):
        work.progress(1)
    assert client.get(f"/jobs/{work.id}").get_json()["state"] == "cancelled"


def test_one_that_ends_before_it_hears_of_a_cancel_has_its_result(
    client: FlaskClient, work: ExternalJob
) -> None:
    work.start()
    client.post(f"/jobs/{work.id}/cancel")
    work.succeed(1)
    assert client.get(f"/jobs/{work.id}/result").get_json() == 1


def test_a_final_state_never_changes(work: ExternalJob) -> None:
    work.succeed(1)
    for say in (work.start, work.progress, lambda: work.succeed(2), lambda: work.fail("No")):
        with pytest.raises(JobDone, match="has succeeded already"):
            say()
    assert (work.job.state, work.job.result) == ("succeeded", 1)


def test_it_goes_on_from_its_id(site: Site, work: ExternalJob) -> None:
    work.progress(1, 2)
    again = site.tasks.external(id=work.id)
    again.progress(2)
    again.succeed()
    assert work.job.refresh().progress == Progress(2, 2)
    assert work.job.state == "succeeded"


def test_the_job_of_a_task_cannot_be_driven(site: Site) -> None:
    job = site.tasks.task(name="nothing")(nothing).delay()
    with pytest.raises(BackburnerError, match="is run by a worker"):
        site.tasks.external(id=job.id)


def nothing() -> None:
    """Does nothing."""


@pytest.mark.parametrize("id", ["0" * 22, "", "nonsense", None])
def test_an_unknown_id_is_no_work(site: Site, id: Any) -> None:
    expected = ValueError if id is None else JobNotFound
    with pytest.raises(expected):
        site.tasks.external(id=id)


@pytest.mark.parametrize("name", ["", " ", 3])
def test_what_cannot_be_a_name_is_refused(site: Site, name: Any) -> None:
    with pytest.raises(ValueError, match="cannot name external work"):
        site.tasks.external(name)


def test_it_has_a_name_or_an_id_but_not_both(site: Site, work: ExternalJob) -> None:
    with pytest.raises(ValueError, match="either the work's name or a job's id"):
        site.tasks.external("transcode", id=work.id)


def test_no_worker_takes_it(site: Site, work: ExternalJob) -> None:
    site.work()
    assert work.job.refresh().state == "queued"


def test_a_result_is_plain_json(work: ExternalJob) -> None:
    for value in ({1, 2}, object(), math.nan, {1: "one"}):
        with pytest.raises(ResultError):
            work.succeed(value)
    assert work.job.refresh().state == "queued"
    work.succeed({"a": [1, 2.5, None, True, "é"]})
    assert work.job.result == {"a": [1, 2.5, None, True, "é"]}


def test_what_progress_leaves_out_stays(work: ExternalJob) -> None:
    work.progress(1, 10, "Reading")
    work.progress(2)
    work.progress(message="Writing")
    assert work.job.progress == Progress(2, 10, "Writing")


def test_the_bar_goes_back_only_with_another_total(work: ExternalJob) -> None:
    work.progress(8, 10)
    work.progress(3)
    assert work.job.progress == Progress(8, 10)
    work.progress(1, 5)
    assert work.job.progress == Progress(1, 5)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", 1 << 63])
def test_progress_counts_in_numbers(work: ExternalJob, value: Any) -> None:
    with pytest.raises(TypeError, match="wants a number"):
        work.progress(value)
    with pytest.raises(TypeError, match="wants a number"):
        work.progress(1, value)


def test_wild_text_is_kept_as_well_as_it_can_be(client: FlaskClient, work: ExternalJob) -> None:
    wild = "a\0b\ud800c" + "x" * 20_000
    work.progress(message=wild)
    work.log(wild)
    work.fail(wild)
    document = client.get(f"/jobs/{work.id}").get_json()
    for text in (document["progress"]["message"], document["error"]["message"]):
        assert text.startswith("a\0b\\ud800cxxx")
        assert len(text.encode()) <= 8192


def test_silence_beyond_the_deadline_is_a_loss(site: Site) -> None:
    silent = site.tasks.external("transcode", deadline=timedelta(0))
    heard = site.tasks.external("transcode", deadline=1000)
    assert len(site.tasks.installation(site.app).store.rescue()) == 1
    error = site.client.get(f"/jobs/{silent.id}").get_json()["error"]
    assert error["code"] == "lost"
    assert heard.job.refresh().state == "queued"
    with pytest.raises(JobDone, match="has failed already"):
        silent.progress(1)


def test_kept_for_no_time_it_ends_all_the_same(tmp_path: Path) -> None:
    with site_in(tmp_path / "none", BACKBURNER_KEEP=0) as site, site.app.app_context():
        work = site.tasks.external("transcode")
        work.progress(1, 2)
        work.succeed(1)
        assert site.client.get(f"/jobs/{work.id}").status_code == 410


def test_its_changes_are_told_by_signals(site: Site) -> None:
    told: list[str] = []
    with ExitStack() as stack:
        for signal in (job_queued, job_started, job_progressed, job_succeeded, job_failed):
            name = signal.name

            def listen(app: Any, job: Job[Any], name: str = name) -> None:
                told.append(f"{name} {job.state}")

            stack.enter_context(signal.connected_to(listen, site.app))
        good, bad = site.tasks.external("transcode"), site.tasks.external("transcode")
        good.progress(1, 2)
        good.succeed()
        bad.start()
        bad.fail("No such film")
    assert told == [
        "job-queued queued",
        "job-queued queued",
        "job-started running",
        "job-progressed running",
        "job-succeeded succeeded",
        "job-started running",
        "job-failed failed",
    ]


def test_a_view_may_return_it(site: Site, client: FlaskClient) -> None:
    site.app.add_url_rule(
        "/films", view_func=lambda: site.tasks.external("transcode"), methods=["POST"]
    )
    answer = client.post("/films")
    assert (answer.status_code, answer.get_json()["task"]) == (202, "transcode")


def test_many_threads_drive_one_job(site: Site, work: ExternalJob) -> None:
    work.progress(0, 400)

    def drive(thread: int) -> None:
        own = site.tasks.external(id=work.id)
        for step in range(thread, 400, 8):
            own.progress(step + 1, message=f"Step {step}")
            own.log(f"{step}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(_in_context(site, drive), range(8)))
    assert (work.job.refresh().progress.current, work.job.progress.total) == (400, 400)
    lines = work.job.log()
    assert [line.id for line in lines] == list(range(1, 401))
    assert sorted(int(line.text) for line in lines) == list(range(400))


def test_of_many_ends_one_is_recorded(site: Site, work: ExternalJob) -> None:
    def finish(thread: int) -> int | None:
        try:
            site.tasks.external(id=work.id).succeed(thread)
        except JobDone:
            return None
        return thread

    with ThreadPoolExecutor(8) as threads:
        ended = [end for end in threads.map(_in_context(site, finish), range(8)) if end is not None]
    assert ended == [work.job.refresh().result]


def _in_context(site: Site, function: Any) -> Any:
    def run(argument: Any) -> Any:
        with site.app.app_context():
            return function(argument)

    return run


DRIVER = """
import sys
from flask import Flask
from flask_backburner import Backburner

folder, id, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
app = Flask("shop", instance_path=folder)
app.config["BACKBURNER_WORKER"] = "external"
tasks = Backburner(app)
work = tasks.external(id=id)
for step in range(first, last):
    work.progress(step + 1)
    work.log(str(step))
print(work.job.state)
tasks.close()
"""


def test_several_processes_drive_one_job(site: Site, work: ExternalJob, tmp_path: Path) -> None:
    work.progress(0, 300)
    with ThreadPoolExecutor(3) as threads:
        states = threads.map(
            lambda part: said(DRIVER, tmp_path, work.id, 100 * part, 100 * part + 100), range(3)
        )
        assert list(states) == ["running"] * 3
    assert work.job.refresh().progress == Progress(300, 300)
    lines = work.job.log()
    assert [line.id for line in lines] == list(range(1, 301))
    assert sorted(int(line.text) for line in lines) == list(range(300))
