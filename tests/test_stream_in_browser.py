"""Live updates in a real browser: which requests it makes, and what it shows meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Request, expect

from conftest import OpenPage
from support.browsing import PageErrors
from support.recorder import comes_true, heard, part, recorded
from support.stage import JOB, Stage, lit_stage
from support.waiting import until

SHOW = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage that offers streams."""
    with lit_stage() as stage:
        stage.streams.offered = True
        yield stage


@pytest.fixture
def page(stage: Stage, open_page: OpenPage) -> Iterator[Page]:
    with recorded(open_page()) as page:
        yield page


@pytest.fixture
def asked(page: Page) -> list[str]:
    """The paths that the page asked of the job's routes, without its files."""
    paths: list[str] = []

    def note(request: Request) -> None:
        path = "/" + request.url.split("/", 3)[3]
        if (
            path.startswith("/jobs/")
            and "/static/" not in path
            and request.resource_type != "document"
        ):
            paths.append(path)

    page.on("request", note)
    return paths


def open_live(page: Page, stage: Stage, path: str = JOB) -> None:
    """Open a page and wait for its stream."""
    page.goto(stage.url + path)
    until(lambda: stage.streams.open, what="an open stream")


def test_one_stream_and_no_polling(page: Page, stage: Stage, asked: list[str]) -> None:
    open_live(page, stage)
    for percent in (10, 35, 60):
        stage.set(progress={"fraction": percent / 100})
        stage.say(f"At {percent}%")
        expect(part(page, "amount")).to_have_text(f"{percent}%")
    stage.finish("succeeded", result="1234 rows")
    expect(part(page, "result")).to_have_text("1234 rows")
    assert asked[:1] == [f"{JOB}/events"]
    assert JOB not in asked
    assert asked.count(f"{JOB}/events") == 1
    assert heard(page, "job-done") == [5]


def test_a_bar_made_in_the_page_reads_once_and_then_streams(
    page: Page, stage: Stage, asked: list[str]
) -> None:
    open_live(page, stage, "/")
    stage.set(progress={"fraction": 0.5})
    expect(part(page, "amount")).to_have_text("50%")
    assert asked == [JOB, f"{JOB}/events"]


def test_the_stream_ends_with_the_job(page: Page, stage: Stage) -> None:
    open_live(page, stage)
    stage.finish("failed", error={"code": "error", "message": "No header row"})
    expect(page.get_by_role("alert")).to_have_text("No header row")
    until(lambda: not stage.streams.open, what="the end of the stream")
    assert len(stage.streams.opened) == 1


def test_a_stream_that_ends_is_taken_up_again(page: Page, stage: Stage, asked: list[str]) -> None:
    open_live(page, stage)
    for number in range(1, 4):
        stage.say(f"Row {number}")
        stage.set(progress={"fraction": number / 10})
        expect(part(page, "amount")).to_have_text(f"{number * 10}%")
        live_for_more_than_a_moment(page)
        stage.streams.cut()
        until(lambda n=number: len(stage.streams.opened) > n, what="another stream")
    assert [each.last_id for each in stage.streams.opened] == ["", "2.1", "3.2", "4.3"]
    assert set(asked) == {f"{JOB}/events"}
    assert max(len(heard(page, name)) for name in ("job-done", "job-restored")) == 0
    expect(part(page, "note")).to_be_hidden()


def live_for_more_than_a_moment(page: Page) -> None:
    """A shorter stream would count as a refusal."""
    page.evaluate("window.begun = performance.now()")
    comes_true(page, "performance.now() - begun > 1100")


def test_no_log_line_is_lost_or_repeated_when_the_stream_is_cut(page: Page, stage: Stage) -> None:
    stage.say("Row 1")
    open_live(page, stage)
    lines = page.locator("job-log li span")
    for number in range(2, 200):
        stage.say(f"Row {number}")
        if number == 60:
            expect(lines).to_have_count(60)
            stage.streams.cut()
    stage.set(progress={"fraction": 0.5})
    expect(lines).to_have_text([f"Row {number}" for number in range(1, 200)])
    until(lambda: len(stage.streams.opened) > 1, what="another stream")


def test_lines_said_before_the_stream_began_are_read(page: Page, stage: Stage) -> None:
    stage.say("Row 1")
    page.add_init_script("addEventListener('DOMContentLoaded', () => fetch('/say'))")
    open_live(page, stage)
    expect(page.locator("job-log li span")).to_have_text(["Row 1", "Said by the page"])


def test_without_a_budget_streams_are_short_and_the_bar_still_moves(
    page: Page, stage: Stage, asked: list[str]
) -> None:
    stage.streams.budget = 0
    page.goto(stage.url + JOB)
    for percent in (10, 35, 60, 85):
        stage.set(progress={"fraction": percent / 100})
        stage.say(f"At {percent}%")
        expect(part(page, "amount")).to_have_text(f"{percent}%")
    expect(page.locator("job-log li")).to_have_count(4)
    until(lambda: not stage.streams.open, what="the end of all streams")
    stage.finish("succeeded")
    expect(part(page, "state")).to_have_text("Done")
    assert asked.count(f"{JOB}/events") == 2
    assert heard(page, "job-done") == [6]


def test_a_silent_stream_is_given_up_for_the_session(
    page: Page, stage: Stage, asked: list[str]
) -> None:
    stage.streams.mute = True
    open_live(page, stage)
    stage.set(progress={"fraction": 0.5})
    expect(part(page, "amount")).to_have_text("50%")
    until(lambda: not stage.streams.open, what="the end of the stream")
    page.reload()
    stage.set(progress={"fraction": 0.6})
    expect(part(page, "amount")).to_have_text("60%")
    assert asked.count(f"{JOB}/events") == 1


def test_it_works_where_nothing_may_be_remembered(page: Page, stage: Stage) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('no') } })"
    )
    open_live(page, stage)
    stage.set(progress={"fraction": 0.5})
    expect(part(page, "amount")).to_have_text("50%")


def test_a_refused_stream_is_replaced_by_polling(
    page: Page, stage: Stage, asked: list[str], page_errors: PageErrors
) -> None:
    page_errors.allow("status of 503")
    stage.streams.refused = True
    page.goto(stage.url + JOB)
    stage.set(progress={"fraction": 0.5})
    expect(part(page, "amount")).to_have_text("50%")
    stage.finish("succeeded")
    expect(part(page, "state")).to_have_text("Done")
    assert asked.count(f"{JOB}/events") == 2


@pytest.mark.parametrize(
    ("status", "words"), [(404, "This job is unknown."), (410, "This job is no longer kept.")]
)
def test_a_job_that_goes_away_is_said(
    page: Page, stage: Stage, page_errors: PageErrors, status: int, words: str
) -> None:
    page_errors.allow(f"status of {status}")
    open_live(page, stage)
    stage.status = status
    stage.gone.add(stage.job["id"])
    expect(page.get_by_role("alert")).to_have_text(words)
    expect(part(page, "bar")).to_be_hidden()


def test_a_server_that_is_away_is_said_and_found_again(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("Failed to load resource")
    open_live(page, stage)
    live_for_more_than_a_moment(page)
    stage.status = 503
    stage.streams.refused = True
    stage.streams.cut()
    expect(page.get_by_role("status")).to_have_text("Connection lost, retrying …")
    stage.status = 200
    stage.streams.refused = False
    stage.set(progress={"fraction": 0.6})
    expect(part(page, "amount")).to_have_text("60%")
    expect(part(page, "note")).to_be_hidden()
    until(lambda: stage.streams.open, what="an open stream")


def test_a_hidden_page_holds_no_stream(page: Page, stage: Stage, asked: list[str]) -> None:
    open_live(page, stage)
    page.evaluate(SHOW, True)
    until(lambda: not stage.streams.open, what="the end of the stream")
    stage.set(progress={"fraction": 0.5})
    page.evaluate("plainFetch('/favicon.ico').then((answer) => answer.text())")
    assert JOB not in asked
    assert asked.count(f"{JOB}/events") == 1
    page.evaluate(SHOW, False)
    expect(part(page, "amount")).to_have_text("50%")
    until(lambda: stage.streams.open, what="an open stream")


def test_a_bar_taken_away_lets_the_stream_go(page: Page, stage: Stage) -> None:
    open_live(page, stage)
    page.locator("job-progress").evaluate("bar => bar.remove()")
    until(lambda: not stage.streams.open, what="the end of the stream")
