"""Bad input, each with a message that names the value, what is allowed and what to do.

The same list is in docs/errors.md, for readers.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from flask_backburner import (
    ArgumentError,
    ConfigError,
    DefinitionError,
    Job,
    JobError,
    JobNotFound,
    StoreError,
    current_job,
)
from flask_backburner.errors import CallError
from support.apps import Site, site_in

UNKNOWN = "4kYbGz0P1vQm8sWc2nRt6x"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def export(year: int, title: str = "", day: Any = None) -> int:
    return year


def refused(site: Site, *args: Any, **kwargs: Any) -> tuple[type[Exception], str]:
    task = site.tasks.task(name="export")(export)
    with pytest.raises((CallError, ArgumentError)) as error:
        task.delay(*args, **kwargs)
    assert site.tasks.jobs() == []
    return type(error.value), str(error.value)


def failed(site: Site, function: Any) -> Job[Any]:
    """The job of this function, after the jobs of others were run behind it too."""
    job = site.tasks.task(name="work")(function).delay()
    other = site.tasks.task(name="export")(export).delay(2026)
    site.work()
    assert other.refresh().state == "succeeded"
    assert job.refresh().state == "failed"
    return job


def error_of(job: Job[Any]) -> tuple[str, str]:
    assert job.error is not None
    return job.error.code, job.error.message


def test_an_unknown_id(site: Site) -> None:
    with pytest.raises(JobNotFound) as error:
        site.tasks.job(UNKNOWN)
    assert str(error.value) == (
        "There is no job '4kYbGz0P1vQm8sWc2nRt6x'. Check the id; ids are never reused."
    )
    assert isinstance(error.value, LookupError)


def test_a_missing_argument(site: Site) -> None:
    assert refused(site, title="x") == (
        CallError,
        "Task 'export' cannot be called like this: the argument 'year' is missing. Pass what its "
        "function takes: export(year: int, title: str = '', day: Any = None).",
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((1, "x", None, 4), {}, "the positional argument 4 is one too many"),
        ((1,), {"colour": "red"}, "the argument 'colour' is unknown"),
        ((1,), {"year": 2}, "the argument 'year' is passed twice"),
    ],
)
def test_an_extra_argument(
    site: Site, args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    assert refused(site, *args, **kwargs) == (
        CallError,
        f"Task 'export' cannot be called like this: {words}. Pass what its function takes: "
        "export(year: int, title: str = '', day: Any = None).",
    )


def test_an_argument_of_the_wrong_type(site: Site) -> None:
    assert refused(site, "soon") == (
        ArgumentError,
        "Task 'export' cannot take year='soon': expected `int`, got `str`. "
        "Pass a value of the type `int`.",
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "cannot take day=<object object>"),
        (open, "cannot take day=<builtin_function_or_method object>"),
        (float("nan"), "cannot take day=nan"),
        ({"a": {1: "x"}}, "cannot take day['a']"),
        ("\ud800", r"cannot take day='\ud800'"),
    ],
    ids=["object", "function", "nan", "keys", "surrogate"],
)
def test_an_argument_that_is_not_serialisable(site: Site, value: Any, words: str) -> None:
    kind, message = refused(site, 2026, day=value)
    assert kind is ArgumentError
    assert words in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "value", [date(2026, 1, 1), (1, 2), {1}, b"x", MultiDict({"a": "b"})], ids=repr
)
def test_an_argument_that_would_arrive_as_something_else(site: Site, value: Any) -> None:
    kind, message = refused(site, 2026, day=value)
    assert kind is ArgumentError
    assert message.startswith("Task 'export' cannot take day=")


def test_a_date_is_refused_with_the_advice_to_annotate(site: Site) -> None:
    assert refused(site, 2026, day=date(2026, 1, 1))[1] == (
        "Task 'export' cannot take day=datetime.date(2026, 1, 1): it would arrive as the str "
        "'2026-01-01', for no type hint says what it is. Annotate parameter 'day' with "
        "`day: date`, or pass a str."
    )


def test_a_task_that_raises(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise KeyError("secret")

    job = failed(site, work)
    assert error_of(job) == ("error", "KeyError: 'secret'")
    assert job.document()["error"] == {
        "code": "error",
        "message": f"The job failed because of an error. Its id is {job.id}.",
    }
    assert f"Job {job.id} (work) failed in attempt 1" in caplog.text
    assert "KeyError: 'secret'" in caplog.text


def test_a_task_that_has_words_for_its_user(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise JobError("The file has no header row")

    job = failed(site, work)
    assert job.document()["error"] == {"code": "error", "message": "The file has no header row"}
    assert caplog.text == ""


@pytest.mark.parametrize("stop", [SystemExit("bye"), KeyboardInterrupt(), GeneratorExit()])
def test_a_task_that_would_end_its_process(site: Site, stop: BaseException) -> None:
    def work() -> None:
        raise stop

    code, message = error_of(failed(site, work))
    assert code == "error"
    assert message.startswith(type(stop).__name__)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error", [ValueError("\ud800"), ValueError("x" * 10_000_000), JobError("\udcff"), Unspeakable()]
)
def test_an_error_whose_words_cannot_be_stored(
    site: Site, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    # What is logged of it cannot be sent to the process that writes the report either.
    caplog.set_level(logging.CRITICAL, site.app.name)

    def work() -> None:
        raise error

    code, message = error_of(failed(site, work))
    assert code == "error"
    assert 0 < len(message.encode()) < 100_000


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (object(), "Task 'work' cannot return <object object>"),
        ({1, 2}, "Task 'work' cannot return {1, 2}"),
        (float("inf"), "Task 'work' cannot return inf"),
        ("x" * (2 << 20), "at most 1048576 bytes are allowed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_cannot_be_stored(site: Site, result: Any, words: str) -> None:
    def work() -> Any:
        return result

    code, message = error_of(failed(site, work))
    assert code == "bad_result"
    assert words in message


def test_progress_that_is_no_number(site: Site) -> None:
    def work() -> None:
        current_job.progress(10**30)

    assert error_of(failed(site, work)) == (
        "error",
        "TypeError: progress() got current=1000000000000000000000000000000, but wants "
        "a number, such as rows or bytes done: an int or a float between -2**63 and 2**63.",
    )


def test_a_database_path_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").mkdir()
    with site_in(tmp_path, BACKBURNER_URL="sqlite:///jobs.db") as site:
        task = site.tasks.task(name="export")(export)
        with pytest.raises(StoreError) as error:
            task.delay(2026)
    assert str(error.value) == (
        f"The job store {tmp_path}/jobs.db is a folder, but must be a file. Set BACKBURNER_URL to "
        f"a file in it, such as sqlite:///{tmp_path}/jobs.db/backburner.db."
    )


PROGRAM = """
import sys
from flask import Flask
from flask_backburner import Backburner, StoreError

app = Flask("shop", instance_path=sys.argv[1])
tasks = Backburner(app)

@tasks.task
def export(): ...

@app.post("/")
def start():
    return export.delay()

try:
    export.delay()
except StoreError as error:
    print(error)
answer = app.test_client().post("/")
print(answer.status_code, answer.headers["Retry-After"], answer.get_json()["title"])
"""


@pytest.mark.parametrize("folder", ["made", "made/instance"])
def test_an_instance_folder_that_cannot_be_written(tmp_path: Path, folder: str) -> None:
    made = tmp_path / "made"
    made.mkdir(mode=0o555)
    # Root may write everywhere, unless it gives that right up
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    run = [
        *(drop if os.geteuid() == 0 else []),
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path / folder),
    ]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    place = tmp_path / folder
    if folder == "made":
        assert first.startswith(f"The job store {place}/backburner.db cannot be ")
        assert "writable" in first
    else:
        assert first == (
            f"The folder {place} for the job store cannot be made: [Errno 13] Permission denied: "
            f"'{place}'. Make it, or set BACKBURNER_URL to a file in a folder that can be written."
        )
    assert "BACKBURNER_URL" in first
    assert second == "503 5 Jobs not available"


def test_a_wrong_configuration_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error, site_in(tmp_path, BACKBURNER_THREADS="four"):
        pass
    assert str(error.value) == (
        "BACKBURNER_THREADS is 'four', but must be a whole number of at least 1. Change app.config."
    )
    assert isinstance(error.value, ValueError)


def test_a_method_as_a_task(site: Site) -> None:
    class Shop:
        def export(self) -> None: ...

    name = f"{test_a_method_as_a_task.__name__}.<locals>.Shop.export"
    with pytest.raises(DefinitionError) as error:
        site.tasks.task(Shop.export)
    assert str(error.value) == (
        f"{name} is a method and cannot be a task: a worker has no object to call it on. "
        "Write a function that takes what it needs, such as an id."
    )


def test_a_name_used_twice(site: Site) -> None:
    def other() -> None: ...

    site.tasks.task(name="export")(export)
    with pytest.raises(DefinitionError) as error:
        site.tasks.task(name="export")(other)
    assert str(error.value) == (
        f"There is a task named 'export' already, defined at "
        f"{__file__}:{export.__code__.co_firstlineno}; the one at "
        f"{__file__}:{other.__code__.co_firstlineno} needs another: @tasks.task(name=…)."
    )


def test_a_task_that_is_a_view_already(site: Site) -> None:
    def export() -> str:
        return ""

    site.app.add_url_rule("/export", view_func=export)
    with pytest.raises(DefinitionError) as refused:
        site.tasks.task(export)
    assert str(refused.value) == (
        f"{__name__}:export is a view, registered with Flask before it became a task, so it "
        "would run in the request. Write a view that returns the job of a task "
        "(`return export.delay()`), or put @tasks.background below @app.route."
    )


def test_a_configuration_that_comes_too_late(site: Site) -> None:
    site.app.config["BACKBURNER_THREADS"] = 8
    with pytest.raises(ConfigError) as refused, site.app.app_context():
        site.tasks.jobs()
    assert str(refused.value) == (
        "The BACKBURNER_* configuration of the app 'shop' was changed after init_app, which had "
        "read it. Set it before init_app is called."
    )


def test_a_task_that_is_submitted(site: Site) -> None:
    task = site.tasks.task(name="export")(export_nothing)
    with pytest.raises(DefinitionError) as refused, site.app.app_context():
        site.tasks.submit(task)
    assert str(refused.value) == (
        "<Task export> is a task already: start it with .delay() instead of submitting it."
    )


def export_nothing() -> None:
    """Does it."""


@pytest.mark.parametrize("wait", ["5", None, True])
def test_a_wait_that_is_no_number(site: Site, wait: Any) -> None:
    task = site.tasks.task(name="export")(export_nothing)
    with site.app.test_request_context(), pytest.raises(TypeError) as refused:
        task.delay().accepted(wait=wait)
    assert str(refused.value) == f"accepted() got wait={wait!r}, but wants a number of seconds."


def test_a_bar_of_what_is_no_job(site: Site) -> None:
    bar = site.app.jinja_env.globals["backburner"].progress  # type: ignore[attr-defined]  # ours
    with site.app.test_request_context(), pytest.raises(TypeError) as refused:
        bar("4kYbGz0P1vQm8sWc2nRt6x")
    assert str(refused.value) == (
        "backburner.progress() and backburner.log() take a job, but got "
        "'4kYbGz0P1vQm8sWc2nRt6x'. Give the template the job itself, such as tasks.job(id)."
    )


def test_waiting_where_no_worker_is(site: Site) -> None:
    job = site.tasks.task(name="export")(export_nothing).delay()
    with pytest.raises(TimeoutError) as late:
        job.wait(timeout=0)
    assert str(late.value) == (
        f"The job {job.id!r} is still queued after 0 s. No worker is there to run it: start one "
        "with `flask jobs worker`; a web process starts its own at its first request."
    )
