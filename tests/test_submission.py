"""tasks.submit: a plain function of the app's own, run in the background undecorated."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from flask_backburner import DefinitionError, JobFailed, current_job
from flask_backburner.errors import ArgumentError, CallError
from flask_backburner.submission import find_submitted, submission_name
from support.apps import Site, site_in
from support.servers import Servers
from support.waiting import until

MODULE = __name__


def double(number: int) -> int:
    return 2 * number


def weekday(day: date, *, short: bool = False) -> str:
    return day.strftime("%a" if short else "%A")


async def soon() -> str:
    current_job.progress(1, 1)
    return "now"


class Shop:
    def sell(self) -> None:
        """A method."""


renamed = double


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path, BACKBURNER_SUBMIT=[MODULE]) as site, site.app.app_context():
        yield site


def test_a_function_runs_without_being_decorated(site: Site) -> None:
    job = site.tasks.submit(double, 21)
    assert job.task == f"submit:{MODULE}:double"
    site.work()
    assert job.refresh().result == 42


def test_arguments_and_result_travel_by_the_hints(site: Site) -> None:
    job = site.tasks.submit(weekday, date(2026, 11, 20), short=True)
    site.work()
    assert job.refresh().result == "Fri"


def test_an_async_function_runs_too(site: Site) -> None:
    job = site.tasks.submit(soon)
    site.work()
    assert (job.refresh().result, job.progress.current) == ("now", 1)


def test_it_is_a_job_over_http(site: Site) -> None:
    job = site.tasks.submit(double, 21)
    assert site.client.get(f"/jobs/{job.id}").get_json()["state"] == "queued"
    site.work()
    assert site.client.get(f"/jobs/{job.id}/result").get_json() == 42


def test_a_bad_argument_raises_here_and_starts_nothing(site: Site) -> None:
    with pytest.raises(ArgumentError, match="number"):
        site.tasks.submit(double, "21")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(CallError):
        site.tasks.submit(double)  # type: ignore[call-arg]  # that is the point
    assert site.tasks.jobs() == []


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: None, "a worker can find only functions at the top of a module"),
        (Shop().sell, "only a function defined with"),
        (Shop.sell, "a worker can find only functions at the top of a module"),
        (Shop, "only a function defined with"),
        (print, "only a function defined with"),
        ("double", "only a function defined with"),
    ],
)
def test_what_no_worker_can_find_is_refused(site: Site, function: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        site.tasks.submit(function)


def test_an_inner_function_is_refused(site: Site) -> None:
    def inner() -> None:
        """Known here alone."""

    with pytest.raises(DefinitionError, match="no lambdas, methods or inner functions"):
        site.tasks.submit(inner)


def test_a_function_of_another_package_is_refused(site: Site) -> None:
    with pytest.raises(DefinitionError, match=f"only functions of {MODULE} can"):
        site.tasks.submit(os.path.join, "a")
    with pytest.raises(DefinitionError, match="add its module to BACKBURNER_SUBMIT"):
        site.tasks.submit(until, lambda: True)


def test_by_default_only_the_apps_own_package_may(tmp_path: Path) -> None:
    with (
        site_in(tmp_path) as site,
        site.app.app_context(),
        pytest.raises(DefinitionError, match="only functions of shop can"),
    ):
        site.tasks.submit(double, 1)


def test_a_function_is_known_by_its_own_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert submission_name(renamed, (MODULE,)) == f"submit:{MODULE}:double"
    monkeypatch.setattr(sys.modules[MODULE], "double", weekday)
    with pytest.raises(DefinitionError, match="is not this function but"):
        submission_name(renamed, (MODULE,))


def test_a_prefix_is_a_whole_name() -> None:
    assert find_submitted(f"submit:{MODULE}:double", (MODULE,)) is double
    with pytest.raises(DefinitionError, match="cannot be submitted"):
        find_submitted(f"submit:{MODULE}:double", (MODULE[:-1],))


@pytest.mark.parametrize(
    "name",
    [
        f"submit:{MODULE}:os",  # a module
        f"submit:{MODULE}:Path",  # a class
        f"submit:{MODULE}:until",  # of another module
        f"submit:{MODULE}:missing",
        f"submit:{MODULE}:",
        f"submit:{MODULE}.missing:double",
    ],
)
def test_a_worker_runs_only_functions_that_are_defined_there(name: str) -> None:
    with pytest.raises(DefinitionError, match=r"There is no function|cannot be imported"):
        find_submitted(name, (MODULE,))


@pytest.mark.parametrize(
    "name", ["submit:os:system", "submit:builtins:eval", "submit:", "submit::x"]
)
def test_a_worker_runs_nothing_that_may_not_be_submitted(name: str) -> None:
    with pytest.raises(DefinitionError, match="cannot be submitted"):
        find_submitted(name, (MODULE,))


def test_a_function_that_is_gone_fails_its_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    job = site.tasks.submit(double, 1)
    monkeypatch.delattr(sys.modules[MODULE], "double")
    site.work()
    with pytest.raises(JobFailed, match="There is no function 'double'"):
        _ = job.refresh().result


APP = """
from flask import Flask
from flask_backburner import Backburner

from shop import work

app = Flask("shop", instance_path=__import__("os").environ["SHOP"])
tasks = Backburner(app)


@app.post("/resize/<int:size>")
def resize(size):
    return tasks.submit(work.resize, size)
"""


def test_the_embedded_worker_finds_it_again(serve: Servers, tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "site.py").write_text(APP)
    (package / "work.py").write_text("def resize(size: int) -> int:\n    return size // 2\n")
    served = serve.flask_run(tmp_path, "shop.site:app", env={"SHOP": str(tmp_path)})
    url = served.url + requests.post(f"{served.url}/resize/64", timeout=60).headers["Location"]
    until(lambda: requests.get(url, timeout=60).json()["done"])
    job = requests.get(url, timeout=60).json()
    assert (job["task"], job["result"]) == ("submit:shop.work:resize", 32)
