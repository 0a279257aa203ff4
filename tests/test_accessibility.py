"""axe-core looks at the pages of jobs, in every state, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from conftest import OpenPage
from support.browsing import PageErrors
from support.recorder import part
from support.stage import JOB, Stage, lit_stage

DONE = {"done": True, "poll_after": None}
FILE = {"name": "rows.csv", "type": "text/csv", "size": 12_345, "url": f"{JOB}/files/rows.csv"}

# What the document says, and what the bar then shows.
STATES: dict[str, tuple[dict[str, Any], str]] = {
    "queued": ({"state": "queued"}, "Queued"),
    "no worker": (
        {"state": "queued", "waiting": {"reason": "no_worker", "position": 1, "estimate": None}},
        "Queued",
    ),
    "retry": (
        {"state": "queued", "waiting": {"reason": "retry", "position": None, "estimate": 40.0}},
        "Queued",
    ),
    "paused": (
        {"state": "queued", "waiting": {"reason": "paused", "position": None, "estimate": None}},
        "Queued",
    ),
    "started": ({}, "Running"),
    "half": ({"progress": {"fraction": 0.5, "message": "Row 17", "remaining": 12.0}}, "Running"),
    "cancelling": ({"cancel_requested": True, "progress": {"fraction": 0.5}}, "Cancelling …"),
    "overdue": ({"cancel_requested": True, "overdue": True}, "Cancelling …"),
    "succeeded": ({"state": "succeeded", "result": "1234 rows", **DONE}, "Done"),
    "files": ({"state": "succeeded", "files": [FILE], **DONE}, "Done"),
    "failed": (
        {"state": "failed", "error": {"code": "error", "message": "No header row"}, **DONE},
        "Failed",
    ),
    "cancelled": ({"state": "cancelled", "progress": {"fraction": 0.5}, **DONE}, "Cancelled"),
}


@pytest.fixture
def stage() -> Iterator[Stage]:
    with lit_stage() as stage:
        stage.say("Reading")
        stage.say("Row 17 is broken", "warning")
        stage.say("Row 18 is lost", "error")
        yield stage


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, stage: Stage, open_page: OpenPage) -> Page:
    return open_page(color_scheme=request.param)


def complaints(page: Page) -> list[str]:
    """What axe-core finds, with the elements that it means."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]


def test_axe_finds_nothing_in_any_state(page: Page, stage: Stage) -> None:
    found = {}
    job = stage.job
    for name, (changes, state) in STATES.items():
        stage.job = job
        stage.set(**changes)
        page.goto(stage.url + JOB)
        expect(part(page, "state")).to_have_text(state)
        found[name] = complaints(page)
    assert found == {name: [] for name in STATES}


def test_axe_finds_nothing_when_the_connection_is_lost(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("status of 503")
    page.goto(stage.url + JOB)
    stage.status = 503
    expect(part(page, "note")).to_have_text("Connection lost, retrying …")
    assert complaints(page) == []


def test_axe_finds_nothing_when_the_job_is_gone(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("status of 410")
    page.goto(stage.url + JOB)
    stage.status = 410
    expect(part(page, "error")).to_have_text("This job is no longer kept.")
    assert complaints(page) == []


def test_axe_finds_nothing_on_the_page_of_a_problem(page: Page, stage: Stage) -> None:
    page.goto(stage.url + "/problem")
    assert complaints(page) == []


def test_results_and_files_are_links(page: Page, stage: Stage) -> None:
    links = {**stage.job["links"], "result": f"{JOB}/result"}
    stage.set(state="succeeded", links=links, files=[FILE], **DONE)
    page.goto(stage.url + JOB)
    expect(part(page, "files").locator("li")).to_have_text(["Result", "rows.csv 13 kB"])
    expect(page.get_by_role("link", name="rows.csv")).to_have_attribute("href", FILE["url"])
    expect(page.get_by_role("link", name="Result")).to_have_attribute("href", f"{JOB}/result")
