"""flask_backburner.testing as the tests of an app use it."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, has_request_context, request

from flask_backburner import (
    Backburner,
    BackburnerError,
    Job,
    JobError,
    JobFailed,
    JobNotFound,
    State,
    current_job,
    job_succeeded,
)
from flask_backburner.errors import JobForgotten
from flask_backburner.testing import (
    JobBench,
    MovableClock,
    backburner_jobs,
    crash_worker,
    isolated,
    run_jobs,
)
from support.servers import Servers

__all__ = ["backburner_jobs"]

tasks = Backburner()
heard: list[str] = []


@tasks.task
def double(number: int) -> int:
    return 2 * number


@tasks.task
def count_down(number: int) -> int:
    if number:
        count_down.delay(number - 1)
    return number


@tasks.task
def steps(number: int) -> int:
    for step in range(number):
        heard.append(f"step {step}")
        current_job.progress(step + 1, total=number)
    heard.append("end")
    return current_job.attempt


@tasks.task
def fail(words: str | None = None) -> None:
    raise JobError(words) if words else ZeroDivisionError("a secret")


@tasks.task
def sees_a_request() -> bool:
    return has_request_context()


@tasks.task
def for_ever() -> None:
    for_ever.delay()


@tasks.task(retries=1, backoff=60)
def unlucky() -> int:
    if current_job.attempt == 1:
        raise ConnectionError
    return current_job.attempt


@tasks.task(process=True)
def in_a_process() -> list[int]:
    return [os.getpid(), threading.get_ident()]


@tasks.task
async def on_a_loop() -> list[int]:
    await asyncio.sleep(0)
    return [os.getpid(), threading.get_ident()]


@tasks.task
def keeps_count() -> list[int]:
    kept = current_job.checkpoint
    while len(kept.get("seen", [])) < 4:
        number = len(kept.get("seen", [])) + 1
        heard.append(f"kept {number}")
        kept["seen"] = [*kept.get("seen", []), number]
    return kept["seen"]  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def nothing_heard() -> None:
    heard.clear()


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = Flask("shop", instance_path=str(tmp_path / "instance"))
    tasks.init_app(app)

    @app.post("/double/<int:number>")
    def start(number: int) -> Job[int]:
        return double.delay(number)

    return app


@pytest.fixture
def jobs(app: Flask, backburner_jobs: JobBench) -> Iterator[JobBench]:
    with app.app_context():
        yield backburner_jobs


def states(found: list[Job[Any]]) -> list[str]:
    return [job.state.value for job in found]


def test_nothing_runs_until_the_test_says_so(app: Flask, jobs: JobBench) -> None:
    client = app.test_client()
    started = client.post("/double/21")
    assert started.status_code == 202
    assert client.get(started.location).json["state"] == "queued"  # type: ignore[index]  # there is a body
    (job,) = jobs.run()
    assert job.result == 42
    assert client.get(started.location).json["result"] == 42  # type: ignore[index]  # there is a body


def test_an_apps_own_store_is_not_touched(app: Flask, jobs: JobBench, tmp_path: Path) -> None:
    double.delay(1)
    jobs.run()
    assert (tmp_path / "backburner.db").exists()
    assert not (tmp_path / "instance").exists()


def test_an_app_has_its_own_again_afterwards(app: Flask, tmp_path: Path) -> None:
    installation = tasks.installation(app)
    settings, files, clock = installation.settings, installation.files, installation.clock
    with isolated(app, tmp_path), app.app_context():
        id = double.delay(1).id
        assert tasks.job(id).state == "queued"
        assert installation.settings.worker == "external"
    assert (installation.settings, installation.files) == (settings, files)
    assert installation.clock is clock
    with app.app_context(), pytest.raises(JobNotFound):
        tasks.job(id)
    installation.close()


def test_no_server_is_needed_for_the_tests_of_an_app_on_redis(tmp_path: Path) -> None:
    app = Flask("redis", instance_path=str(tmp_path / "instance"))
    app.config["BACKBURNER_URL"] = "redis://127.0.0.1:1/0"  # where nobody listens
    tasks.init_app(app)
    engine = tasks.installation(app).engine
    with isolated(app, tmp_path) as jobs, app.app_context():
        double.delay(21)
        assert [job.result for job in jobs.run()] == [42]
    assert tasks.installation(app).engine is engine
    assert not (tmp_path / "instance").exists()


def test_jobs_that_jobs_start_run_too(jobs: JobBench) -> None:
    first = count_down.delay(3)
    done = jobs.run()
    assert [job.result for job in done] == [3, 2, 1, 0]
    assert done[0] == first
    assert jobs.run() == []


def test_a_limit_lets_a_test_go_step_by_step(jobs: JobBench) -> None:
    count_down.delay(3)
    assert [job.result for job in jobs.run(2)] == [3, 2]
    assert [job.result for job in jobs.run(1)] == [1]
    assert [job.result for job in jobs.run(0)] == []


def test_endless_work_is_noticed(jobs: JobBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_backburner.testing.ENDLESS", 5)
    for_ever.delay()
    with pytest.raises(BackburnerError, match=r"5 jobs were run and more are queued: .* limit"):
        jobs.run()
    assert states(tasks.jobs()) == ["queued"] + 5 * ["succeeded"]


def test_functions_take_the_app_or_the_extension(app: Flask, jobs: JobBench) -> None:
    double.delay(1)
    assert [job.result for job in run_jobs(app)] == [2]
    double.delay(2)
    assert [job.result for job in run_jobs(tasks)] == [4]
    double.delay(3)
    assert crash_worker(tasks, "claim").state == "running"
    assert [job.result for job in run_jobs(app)] == [6]


def test_a_failure_is_a_state_unless_the_test_wants_it_raised(jobs: JobBench) -> None:
    fail.delay()
    assert states(jobs.run()) == ["failed"]
    fail.delay()
    with pytest.raises(JobFailed, match="ZeroDivisionError: a secret") as failed:
        jobs.run(check=True)
    assert "in fail" in failed.value.__notes__[0]
    fail.delay("The file has no rows")
    with pytest.raises(JobFailed, match="The file has no rows"):
        jobs.run(check=True)


def test_a_job_sees_nothing_of_the_tests_request(app: Flask, jobs: JobBench) -> None:
    with app.test_request_context("/"):
        assert request.path == "/"
        sees_a_request.delay()
        assert [job.result for job in jobs.run()] == [False]


def test_the_clock_stands_still_until_it_is_moved(jobs: JobBench) -> None:
    job = double.using(countdown=60).delay(1)
    assert jobs.run() == []
    jobs.clock.advance(59.5)
    assert jobs.run() == []
    jobs.clock.advance(timedelta(seconds=0.5))
    assert jobs.run() == [job]
    job.refresh()
    assert job.finished_at is not None
    assert (job.finished_at - job.created_at).total_seconds() == 60


def test_jobs_are_forgotten_when_their_time_is_up(jobs: JobBench) -> None:
    job = double.delay(1)
    jobs.run()
    jobs.clock.advance(timedelta(days=8))
    with pytest.raises(JobForgotten):
        tasks.job(job.id)


def test_a_clock_never_goes_back() -> None:
    clock = MovableClock(100.0)
    with pytest.raises(ValueError, match=r"cannot go back, by -1; give seconds, 0 or more"):
        clock.advance(-1)
    assert clock.now() == 100.0


def test_a_worker_that_dies_after_the_claim_has_started_nothing(jobs: JobBench) -> None:
    steps.delay(2)
    job = jobs.crash("claim")
    assert (job.state, job.attempt) == (State.RUNNING, 1)
    assert heard == []
    (again,) = jobs.run()
    assert again == job
    assert (again.result, again.record.crashes) == (1, 0)


def test_a_worker_dies_in_the_middle_of_a_job(jobs: JobBench) -> None:
    steps.delay(3)
    job = jobs.crash("progress", calls=2)
    assert (job.state, job.progress.current) == (State.RUNNING, 1)
    assert heard == ["step 0", "step 1"]
    assert jobs.run() == []
    assert job.refresh().state is State.QUEUED
    jobs.clock.advance(0.5)
    (again,) = jobs.run()
    assert (again.result, again.record.crashes) == (2, 1)
    assert heard == ["step 0", "step 1", "step 0", "step 1", "step 2", "end"]


def test_a_worker_dies_before_it_can_say_how_it_ended(jobs: JobBench) -> None:
    steps.delay(1)
    job = jobs.crash("settle")
    assert (job.state, job.progress.current) == (State.RUNNING, 1)
    jobs.run()
    jobs.clock.advance(0.5)
    (again,) = jobs.run()
    assert (again.result, again.record.crashes) == (2, 1)
    assert heard == 2 * ["step 0", "end"]


def test_a_job_that_kills_its_workers_is_lost(jobs: JobBench) -> None:
    job = steps.delay(1)
    for _ in range(4):
        assert jobs.crash("progress") == job
        jobs.run()
        jobs.clock.advance(0.5)
    assert job.refresh().state is State.FAILED
    assert job.error is not None
    assert job.error.code == "lost"


def test_a_job_that_killed_two_workers_still_gets_its_turn(jobs: JobBench) -> None:
    steps.delay(1)
    for _ in range(2):
        jobs.crash("progress")
        jobs.run()
        jobs.clock.advance(0.5)
    (again,) = jobs.run()
    assert (again.result, again.record.crashes) == (3, 2)


def test_a_job_that_failed_is_tried_again_when_the_clock_has_moved(jobs: JobBench) -> None:
    job = unlucky.delay()
    assert states(jobs.run()) == ["queued"]
    assert jobs.run() == []
    jobs.clock.advance(60)
    assert jobs.run() == [job]
    assert job.refresh().result == 2


def test_an_attempt_that_failed_is_no_failure_of_the_job_yet(jobs: JobBench) -> None:
    unlucky.using(retries=0).delay()
    with pytest.raises(JobFailed, match="ConnectionError"):
        jobs.run(check=True)
    unlucky.delay()
    assert states(jobs.run(check=True)) == ["queued"]


def test_tasks_of_every_kind_run_in_the_tests_own_thread(jobs: JobBench) -> None:
    here = [os.getpid(), threading.get_ident()]
    in_a_process.delay()
    on_a_loop.delay()
    assert [job.result for job in jobs.run()] == [here, here]


def test_what_a_job_keeps_survives_the_death_of_its_worker(jobs: JobBench) -> None:
    keeps_count.delay()
    jobs.crash("progress", calls=2)
    jobs.run()
    jobs.clock.advance(0.5)
    (again,) = jobs.run()
    assert again.result == [1, 2, 3, 4]
    assert heard == ["kept 1", "kept 2", "kept 3", "kept 4"]


def test_what_cannot_crash_is_said(jobs: JobBench) -> None:
    with pytest.raises(BackburnerError, match="No job is queued, so no worker can die of one"):
        jobs.crash("settle")
    with pytest.raises(ValueError, match="cannot die at 'setle', but at claim or progress or"):
        jobs.crash("setle")  # type: ignore[arg-type]  # what is refused here
    steps.delay(1)
    with pytest.raises(BackburnerError, match="ended before its progress call number 3"):
        jobs.crash("progress", calls=3)


def test_signals_are_sent(app: Flask, jobs: JobBench) -> None:
    told: list[str] = []

    def hear(sender: Flask, job: Job[Any]) -> None:
        told.append(job.id)

    job = double.delay(1)
    with job_succeeded.connected_to(hear, app):
        jobs.run()
    assert told == [job.id]


SHOP = """
from flask import Flask

from flask_backburner import Backburner, current_job

app = Flask(__name__)
tasks = Backburner(app)


@tasks.task
def double(number: int) -> int:
    return 2 * number


@tasks.task
def remind() -> str:
    return "sent"


@tasks.task
def load() -> int:
    return sum(1 for _ in current_job.track("abc"))


@app.post("/double/<int:number>")
def start(number):
    return double.delay(number)


@app.post("/remind")
def later():
    return remind.using(countdown=3600).delay()


@app.post("/import")
def start_load():
    return load.delay()
"""
DOCUMENTED = (Path(__file__).parents[1] / "docs" / "testing.md").read_text()


def test_the_documented_tests_pass_in_a_project_of_its_own(tmp_path: Path, serve: Servers) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text("[tool.pytest.ini_options]\nfilterwarnings = ['error']")
    (project / "shop.py").write_text(SHOP)
    for name, program in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", DOCUMENTED, re.DOTALL):
        (project / name).write_text(program)
    tests = serve.run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert tests.wait(30) == 0, tests.output()
    assert "3 passed" in tests.output()
    assert not (project / "instance").exists()
