"""Twenty bars on a page in a real browser: one stream for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from conftest import OpenPage
from support.browsing import PageErrors
from support.recorder import heard, recorded
from support.stage import JOB, Stage, lit_stage
from support.waiting import until

BARS = 20


@pytest.fixture
def stage() -> Iterator[Stage]:
    with lit_stage() as stage:
        stage.streams.offered = True
        stage.add(BARS)
        yield stage


@pytest.fixture
def page(stage: Stage, open_page: OpenPage) -> Iterator[Page]:
    with recorded(open_page()) as page:
        yield page


def ids(path: str) -> list[str]:
    """The jobs that a stream was asked for."""
    return sorted(path.partition("?ids=")[2].replace("%2C", ",").split(","))


def open_live(page: Page, stage: Stage) -> None:
    """Open the page and wait for its stream of all jobs."""
    page.goto(stage.url)
    everybody = sorted(stage.others)
    until(lambda: [ids(s.path) for s in stage.streams.open] == [everybody], what="one for all")


def move_all(page: Page, stage: Stage, percent: int) -> None:
    """Report of every job, and wait until every bar shows it."""
    for id in stage.others:
        stage.set_other(id, progress={"fraction": percent / 100})
    expect(page.locator(".backburner-amount")).to_have_text([f"{percent}%"] * BARS)


def test_twenty_bars_share_one_stream(page: Page, stage: Stage) -> None:
    open_live(page, stage)
    read = len(stage.asked)
    move_all(page, stage, 30)
    move_all(page, stage, 60)
    for id in stage.others:
        stage.set_other(id, state="succeeded", done=True, poll_after=None)
    expect(page.locator(".backburner-state")).to_have_text(["Done"] * BARS)
    until(lambda: not stage.streams.open, what="the end of the stream")
    assert len(stage.asked) == read == BARS
    assert heard(page, "job-done") == [4] * BARS


def test_never_more_than_one_stream_is_open(page: Page, stage: Stage) -> None:
    open_live(page, stage)
    page.evaluate(
        """(src) => {
            const bar = document.createElement("job-progress");
            bar.setAttribute("src", src);
            document.body.append(bar);
        }""",
        JOB,
    )
    everybody = sorted([*stage.others, JOB.rpartition("/")[2]])
    until(lambda: [ids(s.path) for s in stage.streams.open] == [everybody], what="one for all")
    assert len(stage.streams.opened) == 2


def test_a_cut_stream_goes_on_for_all(page: Page, stage: Stage) -> None:
    open_live(page, stage)
    move_all(page, stage, 30)
    before = len(stage.streams.opened)
    stage.streams.cut()
    move_all(page, stage, 60)
    assert stage.streams.opened[before].last_id == ",".join(["2"] * BARS)


def test_one_that_goes_away_leaves_the_others_alone(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("status of 404")
    open_live(page, stage)
    stage.gone.add("7")
    expect(page.get_by_role("alert")).to_have_text("This job is unknown.")
    del stage.others["7"]
    for id in stage.others:
        stage.set_other(id, progress={"fraction": 0.5})
    expect(page.locator(".backburner-amount", has_text="50%")).to_have_count(BARS - 1)


def test_without_a_budget_all_bars_move(page: Page, stage: Stage) -> None:
    stage.streams.budget = 0
    page.goto(stage.url)
    for percent in (10, 40, 70):
        move_all(page, stage, percent)
    until(lambda: not stage.streams.open, what="the end of all streams")
    assert len(stage.streams.opened) == 2


def test_two_bars_of_one_job_show_the_same(page: Page, stage: Stage) -> None:
    stage.body = '<job-progress src="/jobs/3"></job-progress>' * 2
    page.goto(stage.url)
    until(lambda: stage.streams.open, what="an open stream")
    stage.set_other("3", progress={"fraction": 0.5})
    expect(page.locator(".backburner-amount")).to_have_text(["50%"] * 2)
    assert [each.path for each in stage.streams.opened] == ["/jobs/3/events"]
