"""The documentation names everything there is: keys, routes, errors, commands."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask

import flask_backburner
from flask_backburner import Backburner, current_job, errors, signals
from flask_backburner.cli import jobs
from flask_backburner.settings import KEYS
from flask_backburner.web.page import TemplateGlobals
from support.apps import site_in

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def headings(text: str) -> set[str]:
    return {line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")}


def anchors(text: str) -> set[str]:
    """The headings as addresses, by the rule of GitHub and of MyST."""
    plain = {re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings(text)}
    return {heading.replace(" ", "-") for heading in plain}


def test_every_key_has_its_section() -> None:
    found = {heading for heading in headings(page("configuration")) if heading.isupper()}
    assert found == set(KEYS)


def default_of(key: str) -> str:
    row = re.search(rf"^\| \[`{key}`\]\(#\w+\) \| ([^|]+) \|", page("configuration"), re.MULTILINE)
    assert row, f"{key} has no row in the table of keys"
    return row[1].strip("` ")


@pytest.mark.parametrize("key", [key for key in KEYS if KEYS[key].default is not None])
def test_a_default_is_the_one_in_the_table(key: str) -> None:
    assert default_of(key).replace('"', "'") == repr(KEYS[key].default).removesuffix(".0")


def rules() -> Iterator[str]:
    app = Flask("app")
    Backburner(app)
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/jobs"):
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            path = re.sub(r"<\w+:", "<", rule.rule)
            yield from (f"{method} {path}" for method in methods)


def test_every_route_has_its_section() -> None:
    found = {heading.strip("`") for heading in headings(page("routes"))}
    assert {heading for heading in found if " /jobs" in heading} == set(rules())


def test_every_error_has_its_section() -> None:
    classes = inspect.getmembers(errors, inspect.isclass)
    names = {name for name, each in classes if each.__module__ == errors.__name__}
    assert names - headings(page("errors")) == set()


def test_every_signal_is_named() -> None:
    names = {name for name in vars(signals) if name.startswith("job_")}
    assert names - set(re.findall(r"`(job_\w+)`", page("api"))) == set()


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[dict[str, object]]:
    """What applications hold in their hands, by its section in the reference."""
    with site_in(tmp_path) as site:
        work = site.tasks.external("work")
        yield {
            "Backburner": site.tasks,
            "Task": site.tasks.task(stand_in),
            "Job": work.job,
            "ExternalJob": work,
            "current_job": current_job,
            "In templates": TemplateGlobals(),
        }


def stand_in() -> None:
    """Stands for a task."""


def section(text: str, heading: str) -> str:
    """From a heading to the next of its level."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def code_words(text: str) -> set[str]:
    """The names that stand in code within the text, examples aside."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return {word for code in re.findall(r"`([^`]+)`", prose) for word in re.findall(r"\w+", code)}


def test_every_public_name_of_an_object_is_in_its_section(objects: dict[str, object]) -> None:
    text = page("api")
    names = {
        f"{heading}: {name}"
        for heading, each in objects.items()
        for name in dir(each)
        if not name.startswith("_")
    }
    assert {"Backburner: submit", "Job: cancel", "current_job: track", "Task: map"} <= names
    parts = {heading: code_words(section(text, heading)) for heading in objects}
    known = {f"{heading}: {word}" for heading, words in parts.items() for word in words}
    assert names - known == set()


def test_every_name_that_the_package_exports_is_in_the_reference() -> None:
    known = set(re.findall(r"\w+", page("api") + page("errors")))
    assert set(flask_backburner.__all__) - known == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_example_is_python(path: Path) -> None:
    for example in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
        ast.parse(example)


def options() -> Iterator[tuple[str, str]]:
    for name, command in jobs.commands.items():
        for option in command.params:
            if isinstance(option, click.Option):
                yield from ((name, spelling) for spelling in option.opts)


def test_every_command_has_its_section() -> None:
    assert {f"`flask jobs {name}`" for name in jobs.commands} <= headings(page("commands"))


def test_every_option_of_a_command_is_named() -> None:
    text = page("commands")
    assert [option for option in options() if f"`{option[1]}`" not in text] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text())
    targets = [((path.parent / file) if file else path, anchor) for file, anchor in links]
    assert [str(file) for file, _ in targets if not file.exists()] == []
    assert [
        f"{file.name}#{anchor}"
        for file, anchor in targets
        if anchor and anchor not in anchors(file.read_text())
    ] == []


SOURCES = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))


def test_every_problem_type_in_the_code_has_its_section() -> None:
    slugs = set(re.findall(r'Problem\(\s*\d{3},\s*"([\w-]+)"', SOURCES))
    assert "not-found" in slugs
    assert slugs - anchors(page("errors")) == set()


def test_every_code_of_a_failed_job_has_its_section() -> None:
    codes = set(re.findall(r'Fault\(\s*"(\w+)"', SOURCES))
    assert {"error", "lost", "bad_result"} <= codes
    assert codes - headings(page("errors")) == set()
