"""Tasks: what can be one, what it is called, how jobs of it are started."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flask_backburner import (
    ArgumentError,
    Backburner,
    BackburnerError,
    DefinitionError,
    QueueFull,
    Task,
    current_job,
)
from flask_backburner.errors import CallError, NoCurrentJob
from support.apps import Site, site_in

tasks = Backburner()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path, BACKBURNER_MAX_QUEUED=10) as site:
        yield site


@pytest.fixture
def export(site: Site) -> Task[[int], int]:
    @site.tasks.task(name="shop:export")
    def export(year: int) -> int:
        """Write it all out."""
        return year + 1

    return export


def refused(function: Any) -> str:
    with pytest.raises(DefinitionError) as error:
        tasks.task(function)
    assert isinstance(error.value, TypeError)
    return str(error.value)


# What can be a task


class Shop:
    def export(self) -> None: ...

    @staticmethod
    def check() -> None: ...

    def __call__(self) -> None: ...

    def __repr__(self) -> str:
        raise AssertionError("a message runs no code of the value's class")


def numbers() -> Iterator[int]:
    yield 1


async def numbers_later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (Shop.export, "Shop.export"),
        (Shop().export, "Shop.export"),
        (Shop.check, "Shop.check"),
    ],
)
def test_a_method_cannot_be_a_task(method: Any, name: str) -> None:
    assert refused(method) == (
        f"{name} is a method and cannot be a task: a worker has no object to call it on. "
        "Write a function that takes what it needs, such as an id."
    )


def test_a_lambda_cannot_be_a_task() -> None:
    assert refused(lambda: None) == "A lambda cannot be a task: it has no name. Use `def`."


@pytest.mark.parametrize("function", [numbers, numbers_later])
def test_a_generator_cannot_be_a_task(function: Any) -> None:
    assert refused(function) == (
        f"{function.__name__} is a generator and cannot be a task: calling it runs nothing. "
        "Return the result, and report on the way with current_job.progress()."
    )


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        (Shop, "<class Shop>"),
        (Shop(), "<Shop object>"),
        (partial(print, 1), "<partial object>"),
        (len, "<builtin_function_or_method object>"),
        ("export", "'export'"),
    ],
)
def test_only_a_function_can_be_a_task(thing: Any, shown: str) -> None:
    assert refused(thing) == (
        f"{shown} cannot be a task: only a function defined with `def` or `async def` can. "
        "Write one that calls it, and put @tasks.task on top of that."
    )


@pytest.mark.parametrize("name", ["", " ", "a\nb", 5, b"x", " x"])
def test_a_name_is_a_text(site: Site, name: Any) -> None:
    with pytest.raises(DefinitionError) as error:
        site.tasks.task(name=name)(free_function)
    assert str(error.value) == (
        f"A task's name is {name!r}, but must be a text such as 'reports:export'. Without one a "
        "task is named by its module and function."
    )


def free_function() -> None: ...


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": ""}, "queue is '', but must be a name without commas."),
        ({"queue": "a,b"}, "queue is 'a,b', but must be a name without commas."),
        ({"queue": " a"}, "queue is ' a', but must be a name without commas."),
        ({"queue": "a\0b"}, r"queue is 'a\x00b', but must be a name without commas."),
        ({"queue": None}, "queue is None, but must be a name without commas."),
        (
            {"priority": "high"},
            "priority is 'high', but must be a whole number between -2**31 and 2**31; "
            "higher runs first.",
        ),
    ],
)
def test_a_wrong_option_is_refused_where_the_task_is_defined(
    site: Site, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError) as error:
        site.tasks.task(name="x", **options)(free_function)
    assert str(error.value) == f"Task 'x' cannot be defined: {words}"


def test_a_hint_that_cannot_travel_is_said_at_the_first_start(site: Site) -> None:
    @site.tasks.task(name="x")
    def work(shop: Shop) -> None: ...

    with pytest.raises(DefinitionError, match="the hint of parameter 'shop' is `Shop`"):
        work.delay(Shop())
    assert site.tasks.jobs() == []


# What it is called


def test_a_task_is_named_by_module_and_function(site: Site) -> None:
    assert site.tasks.task(free_function).name == f"{__name__}:free_function"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["shop.py"], "shop:export"),
        (["-m", "shop"], "shop:export"),
        (["-m", "pkg.run"], "pkg.run:export"),
    ],
)
def test_a_script_names_its_tasks_as_an_import_of_it_would(
    tmp_path: Path, command: list[str], name: str
) -> None:
    program = (
        "from flask_backburner import Backburner\n"
        "@Backburner().task\n"
        "def export(): ...\n"
        "print(export.name)\n"
    )
    (tmp_path / "pkg").mkdir()
    for path in ("shop.py", "pkg/__init__.py", "pkg/run.py"):
        (tmp_path / path).write_text(program if "__init__" not in path else "")
    run = [sys.executable, *command]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{name}\n"


def test_a_task_keeps_the_functions_name_and_words(export: Task[[int], int]) -> None:
    assert (export.__name__, export.__doc__) == ("export", "Write it all out.")
    assert repr(export) == "<Task shop:export>"


# Starting


def test_called_like_a_function_it_runs_here_and_now(site: Site, export: Task[[int], int]) -> None:
    assert export(2026) == 2027
    assert site.tasks.jobs() == []

    @site.tasks.task(name="asks")
    def asks() -> str:
        return current_job.id

    with pytest.raises(NoCurrentJob):
        asks()


def test_delay_starts_a_job(site: Site, export: Task[[int], int]) -> None:
    for job in (export.delay(2026), export.delay(year=2026)):
        assert (job.task, job.state, job.queue, job.version) == (
            "shop:export",
            "queued",
            "default",
            1,
        )
        site.work()
        assert job.refresh().result == 2027


def test_an_async_function_is_a_task_too(site: Site) -> None:
    @site.tasks.task(name="later")
    async def later(number: int) -> int:
        await asyncio.sleep(0)
        current_job.progress(number)
        return number * 2

    job = later.delay(21)
    site.work()
    assert job.refresh().state == "succeeded"
    assert site.tasks.job(job.id).result == 42


def test_map_starts_many_or_none(site: Site, export: Task[[int], int]) -> None:
    jobs = export.map((year,) for year in (2024, 2025))
    site.work()
    assert [job.refresh().result for job in jobs] == [2025, 2026]
    assert export.map([]) == []
    with pytest.raises(ArgumentError):
        export.map([(2026,), ("soon",)])  # type: ignore[list-item]  # what is refused here
    with pytest.raises(QueueFull) as full:
        export.map([(year,) for year in range(11)])
    assert str(full.value) == (
        "0 jobs are queued and BACKBURNER_MAX_QUEUED allows 10. "
        "Try again later, start more workers, or raise the limit."
    )
    assert site.tasks.jobs(state="queued") == []


def test_map_takes_tuples(export: Task[[int], int]) -> None:
    for start in (export.map, export.using(queue="slow").map):
        with pytest.raises(CallError) as error:
            start([2024])  # type: ignore[list-item]  # what is refused here
        assert str(error.value) == (
            "shop:export.map() takes tuples, one for each job, but got 2024. "
            "Write map([(2024,), (2025,)])."
        )


def test_using_changes_how_a_job_is_started(site: Site, export: Task[[int], int]) -> None:
    job = export.using(queue="slow", priority=5).delay(2026)
    assert (job.queue, job.record.priority) == ("slow", 5)
    assert (export.delay(2026).queue, export.options.priority) == ("default", 0)
    assert [job.queue for job in export.using(queue="slow").map([(1,), (2,)])] == ["slow", "slow"]


def test_a_countdown_is_seconds_or_a_timedelta(export: Task[[int], int]) -> None:
    for countdown in (60, 60.0, timedelta(minutes=1)):
        job = export.using(countdown=countdown).delay(2026)
        assert timedelta(seconds=59) < job.run_at - job.created_at < timedelta(seconds=61)


def test_an_eta_is_an_aware_time(site: Site, export: Task[[int], int]) -> None:
    paris = datetime(2030, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    job = export.using(eta=paris).delay(2026)
    assert job.run_at == datetime(2030, 7, 1, 10, tzinfo=UTC)
    past = export.using(eta=datetime(2020, 1, 1, tzinfo=UTC)).delay(2026)
    site.work()
    assert (job.refresh().state, past.refresh().state) == ("queued", "succeeded")


SECONDS = "but must be seconds from now, 0 or more, or a timedelta."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"countdown": -1}, f"countdown is -1, {SECONDS}"),
        ({"countdown": "60"}, f"countdown is '60', {SECONDS}"),
        ({"countdown": True}, f"countdown is True, {SECONDS}"),
        ({"countdown": float("nan")}, f"countdown is nan, {SECONDS}"),
        (
            {"eta": datetime(2026, 1, 1)},
            "eta is datetime.datetime(2026, 1, 1, 0, 0), but must be an aware datetime, such as "
            "datetime.now(timezone.utc) + timedelta(hours=1).",
        ),
        (
            {"eta": "2026-01-01"},
            "eta is '2026-01-01', but must be an aware datetime, such as "
            "datetime.now(timezone.utc) + timedelta(hours=1).",
        ),
        (
            {"eta": datetime(2026, 1, 1, tzinfo=UTC), "countdown": 1},
            "countdown and eta are both given, but only one can be: drop the other.",
        ),
        ({"queue": "a,b"}, "queue is 'a,b', but must be a name without commas."),
        (
            {"priority": 1 << 32},
            "priority is 4294967296, but must be a whole number between -2**31 and 2**31; "
            "higher runs first.",
        ),
    ],
)  # fmt: skip
def test_a_wrong_option_is_refused_before_anything_starts(
    site: Site, export: Task[[int], int], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        export.using(**options)
    assert site.tasks.jobs() == []


def test_an_option_that_does_not_exist_is_pythons_own_error(export: Task[[int], int]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'count'"):
        export.using(count=1)  # type: ignore[call-arg]  # what is refused here


def test_a_job_may_start_another(site: Site, export: Task[[int], int]) -> None:
    @site.tasks.task(name="outer")
    def outer() -> str:
        return export.delay(2026).id

    job = outer.delay()
    site.work()
    assert site.tasks.job(job.refresh().result).result == 2027


def nothing() -> None:
    """Stands for a task."""


def test_a_process_job_needs_an_app_that_another_process_can_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLASK_APP", raising=False)
    with site_in(tmp_path, BACKBURNER_WORKER="auto") as site, site.app.app_context():
        site.app.testing = False
        task = site.tasks.task(name="nothing", process=True)(nothing)
        with pytest.raises(BackburnerError) as refused:
            task.delay()
        assert str(refused.value) == (
            "A job with process=True cannot be run: the app's import string, by which the job's "
            "process would load it, is not known. Set BACKBURNER_APP to it, such as 'shop:app' or "
            "'shop:create_app()'."
        )
        assert site.tasks.jobs() == []


@pytest.mark.parametrize(
    "config",
    [
        {"BACKBURNER_APP": "shop:app", "TESTING": False},
        {"BACKBURNER_WORKER": "external", "TESTING": False},
        {"TESTING": True},
    ],
    ids=["known", "others run it", "testing"],
)
def test_it_is_not_asked_for_where_it_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    monkeypatch.delenv("FLASK_APP", raising=False)
    with site_in(tmp_path, **{"BACKBURNER_WORKER": "auto", **config}) as site:
        task = site.tasks.task(name="nothing", process=True)(nothing)
        assert task.delay().state == "queued"


def test_every_error_of_ours_has_one_root() -> None:
    assert issubclass(CallError, BackburnerError)
    assert issubclass(DefinitionError, BackburnerError)
