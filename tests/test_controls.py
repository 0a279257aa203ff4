"""``flask jobs pause, resume, retry, cancel``: what they do, what they print, and how they end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.cli import ScriptInfo

from flask_backburner import Job, JobError, Task
from flask_backburner.cli import jobs
from support.apps import Site, site_in

UNKNOWN = "0123456789012345678901"


class Desk:
    """An operator's terminal, and an app with two tasks."""

    def __init__(self, site: Site) -> None:
        self.site = site

        @site.tasks.task(name="add")
        def add(a: int = 1, b: int = 1) -> int:
            return a + b

        @site.tasks.task(name="fail")
        def fail() -> None:
            raise JobError("No header row")

        self.add: Task[..., int] = add
        self.fail: Task[[], None] = fail

    def says(self, *command: str) -> tuple[int, str]:
        """The exit code of a command, and all that it says."""
        result = self.run(*command)
        return result.exit_code, result.output

    def run(self, *command: str) -> Result:
        runner = self.site.app.test_cli_runner()
        return runner.invoke(jobs, command, obj=ScriptInfo(create_app=lambda: self.site.app))

    def done(self, job: Job[Any]) -> Job[Any]:
        """Run what is queued; the job is over then."""
        self.site.work()
        assert job.refresh().done
        return job


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with site_in(tmp_path) as site, site.app.app_context():
        yield Desk(site)


# Queues


def test_jobs_of_a_paused_queue_are_accepted_and_wait(desk: Desk) -> None:
    assert desk.says("pause", "mail") == (0, "mail: paused\n")
    mail, other = desk.add.using(queue="mail").delay(), desk.add.delay()
    desk.site.work()
    assert (mail.refresh().state, other.refresh().state) == ("queued", "succeeded")
    assert mail.document()["waiting"]["reason"] == "paused"


def test_a_resumed_queue_goes_on(desk: Desk) -> None:
    desk.says("pause", "mail", "reports")
    job = desk.add.using(queue="mail").delay()
    assert desk.says("resume", "reports", "mail") == (0, "mail: resumed\nreports: resumed\n")
    assert desk.done(job).result == 2


def test_a_running_job_goes_on_while_its_queue_is_paused(desk: Desk) -> None:
    @desk.site.tasks.task(name="pauses")
    def pauses() -> int:
        desk.site.tasks.installation(desk.site.app).store.pause("default", True)
        return 1

    assert desk.done(pauses.delay()).result == 1


def test_pauses_are_told_to_programs(desk: Desk) -> None:
    code, said = desk.says("pause", "--json", "mail", "reports")
    assert [json.loads(line) for line in said.splitlines()] == [
        {"queue": "mail", "paused": True},
        {"queue": "reports", "paused": True},
    ]
    assert (code, desk.says("resume", "--json", "mail")) == (
        0,
        (0, '{"queue":"mail","paused":false}\n'),
    )


@pytest.mark.parametrize("command", ["pause", "resume", "retry", "cancel"])
def test_without_a_name_or_an_id_it_is_a_usage_error(desk: Desk, command: str) -> None:
    code, said = desk.says(command)
    assert (code, "Missing argument" in said) == (2, True)


def test_a_blank_queue_is_a_usage_error(desk: Desk) -> None:
    code, said = desk.says("pause", " ")
    assert (code, "QUEUE is [' '], but must be" in said) == (2, True)


# Jobs


def test_a_failed_job_is_put_back_in_line(desk: Desk) -> None:
    job = desk.done(desk.fail.delay())
    assert desk.says("retry", job.id) == (0, f"{job.id}: queued\n")
    assert desk.done(job).attempt == 2


def test_a_queued_job_is_cancelled_at_once(desk: Desk) -> None:
    job = desk.add.delay()
    assert desk.says("cancel", job.id) == (0, f"{job.id}: cancelled\n")
    assert desk.says("cancel", job.id) == (0, f"{job.id}: cancelled\n")
    assert job.refresh().state == "cancelled"


def test_a_running_job_is_asked_to_stop(desk: Desk) -> None:
    job = desk.add.delay()
    store = desk.site.tasks.installation(desk.site.app).store
    presence = store.join()
    store.turn(presence, room=1, tasks=["add"])
    assert desk.says("cancel", job.id) == (0, f"{job.id}: is asked to stop\n")
    presence.leave()


def test_jobs_are_told_to_programs_as_their_documents(desk: Desk) -> None:
    first, second = desk.add.delay(), desk.add.delay()
    code, said = desk.says("cancel", "--json", first.id, second.id)
    documents = [json.loads(line) for line in said.splitlines()]
    assert (code, [(each["id"], each["state"]) for each in documents]) == (
        0,
        [(first.id, "cancelled"), (second.id, "cancelled")],
    )


def test_what_has_succeeded_can_be_neither_retried_nor_cancelled(desk: Desk) -> None:
    job = desk.done(desk.add.delay())
    code, said = desk.says("retry", job.id)
    assert (code, f"Error: The job '{job.id}' is succeeded, and only a failed" in said) == (1, True)
    code, said = desk.says("cancel", job.id)
    assert (code, said) == (
        1,
        f"Error: The job '{job.id}' has succeeded already; a final state never changes.\n",
    )


@pytest.mark.parametrize("command", ["retry", "cancel"])
@pytest.mark.parametrize("id", [UNKNOWN, "nonsense"])
def test_an_unknown_id_has_an_exit_code_of_its_own_and_stops_none_of_the_others(
    desk: Desk, command: str, id: str
) -> None:
    job = desk.done(desk.fail.delay()) if command == "retry" else desk.add.delay()
    result = desk.run(command, id, job.id)
    assert result.exit_code == 4
    assert f"Error: There is no job '{id}'." in result.output
    assert job.refresh().state == ("queued" if command == "retry" else "cancelled")


def test_data_and_errors_go_different_ways(desk: Desk) -> None:
    job = desk.add.delay()
    result = desk.run("cancel", UNKNOWN, job.id)
    assert result.stdout == f"{job.id}: cancelled\n"
    assert result.stderr.startswith(f"Error: There is no job '{UNKNOWN}'.")


# Trouble


@pytest.mark.parametrize(
    "command", [("pause", "mail"), ("resume", "mail"), ("retry", UNKNOWN), ("cancel", UNKNOWN)]
)
def test_a_store_that_cannot_be_used_has_an_exit_code_of_its_own(
    tmp_path: Path, command: tuple[str, str]
) -> None:
    os.mkdir(tmp_path / "backburner.db")
    with site_in(tmp_path) as site:
        code, said = Desk(site).says(*command)
    assert code == 69
    assert said.startswith("Error: The job store")


def test_an_app_without_the_extension_is_a_usage_error() -> None:
    app = Flask("plain")
    result = app.test_cli_runner().invoke(
        jobs, ["pause", "mail"], obj=ScriptInfo(create_app=lambda: app)
    )
    assert result.exit_code == 2
    assert "The app 'plain' cannot run jobs." in result.output


def test_a_pause_is_the_apps_own(tmp_path: Path) -> None:
    """Another app on the same file has queues of its own."""
    with site_in(tmp_path) as site, site_in(tmp_path, "other") as other:
        assert Desk(site).says("pause", "default") == (0, "default: paused\n")
        with other.app.app_context():
            job = Desk(other).add.delay()
            other.work()
            assert job.refresh().state == "succeeded"
