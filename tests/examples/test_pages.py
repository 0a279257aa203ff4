"""Examples with a page to look at."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from playwright.sync_api import Page

from support.examples import Run, everywhere
from support.servers import Served
from support.waiting import until


@everywhere
def test_a_button_starts_a_bar_that_ends_in_the_result(run: Run, page: Page) -> None:
    server = run("progress_page.py")
    page.goto(server.url)
    page.fill("input", "500")
    with page.expect_response("**/digits") as answer:
        page.click("text=Compute")
    assert answer.value.status == 202
    assert answer.value.headers["location"].startswith("/jobs/")
    until(lambda: states(page) == ["succeeded"])
    assert page.locator("progress").evaluate("bar => bar.value / bar.max") == 1
    assert "100%" in page.inner_text("job-progress")
    assert "31415926535897932384626433832795" in page.inner_text("job-progress")


def test_a_button_starts_a_bar_that_says_why_it_failed(run: Run, page: Page) -> None:
    server = run("progress_page.py")
    page.goto(server.url)
    page.fill("input", "0")
    page.click("text=Compute")
    until(lambda: states(page) == ["failed"])
    assert "0 digits cannot be had; ask for 1 to 20,000." in page.inner_text("[role=alert]")


@everywhere
def test_a_bar_can_be_cancelled(run: Run, page: Page) -> None:
    server = run("progress_page.py")
    page.goto(server.url)
    page.fill("input", "20000")
    page.click("text=Compute")
    until(lambda: states(page) == ["running"])
    page.click("text=Cancel")
    until(lambda: states(page) == ["cancelled"])
    assert "Cancelled" in page.inner_text("job-progress")


def states(page: Page) -> list[str | None]:
    bars = page.locator("job-progress").all()
    return [bar.get_attribute("data-state") for bar in bars]


# Pages


@everywhere
def test_a_slow_view_shows_progress_and_then_its_own_page(
    run: Run, page: Page, tmp_path: Path
) -> None:
    server = run("background_view.py")
    visited: list[str] = []
    page.on("framenavigated", lambda frame: visited.append(frame.url.removeprefix(server.url)))
    compare(page, server, old="one two three", new="one three")
    until(lambda: "1 edits make 2 words of 3." in page.inner_text("main"))

    del visited[:]  # the first one also waited for the worker's start
    compare(page, server, old="one two three", new="one two")
    assert "1 edits make 2 words of 3." in page.inner_text("main")
    assert visited == ["/", "/compare"]

    chance = Random(1)
    for name in "old", "new":
        words = " ".join(chance.choice("abcdefgh") for _ in range(2000))
        (tmp_path / name).write_text(words)
    del visited[:]
    compare(page, server, old_file=tmp_path / "old", new_file=tmp_path / "new")
    until(lambda: "edits make 2000 words of 2000." in page.inner_text("main"), 60)
    assert [re.sub("[0-9A-Za-z]{22}", "<id>", path) for path in visited] == [
        "/",
        "/jobs/<id>",
        "/jobs/<id>/result",
    ]


def compare(page: Page, server: Served, **fields: str | Path) -> None:
    page.goto(server.url)
    for name, value in fields.items():
        field = page.locator(f"[name={name}]")
        field.set_input_files(value) if isinstance(value, Path) else field.fill(value)
    with page.expect_navigation():
        page.click("button")


@everywhere
def test_an_app_written_for_celery_keeps_its_own_bar(run: Run, page: Page) -> None:
    server = run("celery_app.py")
    page.goto(server.url)
    assert page.inner_text("[role=status]") == "Not started"
    page.click("text=Start")
    until(lambda: "Step" in page.inner_text("[role=status]"), 60)
    until(lambda: page.inner_text("[role=status]") == "All steps are done", 60)
    assert page.locator("progress").evaluate("bar => bar.value / bar.max") == 1


@everywhere
def test_twenty_bars_share_a_connection(run: Run, page: Page) -> None:
    server = run("many_bars.py")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(server.url)))
    page.goto(server.url)
    page.click("text=Start twenty jobs")
    until(lambda: states(page) == ["succeeded"] * 20, 60)
    assert "From 570,000 on" in page.inner_text("main")
    streams = [path for path in asked if path.startswith("/jobs/events?ids=")]
    others = {path.partition("?")[0] for path in asked if path not in streams}
    assert streams != []
    assert others - {"/favicon.ico"} == {
        "/",
        "/start",
        "/jobs/static/backburner.css",
        "/jobs/static/backburner.js",
    }


@everywhere
def test_a_fragment_is_replaced_until_its_job_is_done(run: Run, page: Page) -> None:
    server = run("htmx.py")
    answers: list[int] = []
    page.on(
        "response",
        lambda answer: answers.append(answer.status) if "/fragment" in answer.url else None,
    )
    page.goto(server.url)
    page.click("button")
    until(lambda: "6, 28, 496, 8128" in page.inner_text("#job"), 60)
    assert answers[-1] == 286
    assert set(answers[:-1]) == {200}
    assert page.locator("[hx-get]").count() == 0
