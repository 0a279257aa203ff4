"""A slow view becomes a background view by one decorator, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from support.browsing import OpenPage, PageErrors
from support.latch import Latch
from support.servers import Served, Servers

SLOW = "0"
QUICK = "10"
JOB = re.compile(r"/jobs/\w{22}$")
RESULT = re.compile(r"/jobs/\w{22}/result$")

Start = Callable[[str | None], Served]


@pytest.fixture
def start(serve: Servers, tmp_path: Path) -> Start:
    """Serve the app, with the decorator and its ``wait``, or without."""

    def start(wait: str | None) -> Served:
        url = f"sqlite:///{tmp_path}/backburner.db"
        env = {"FLASK_BACKBURNER_URL": url} | ({} if wait is None else {"BACKGROUND": wait})
        args = ("--worker-class", "gthread", "--threads", "8")
        return serve.gunicorn(tmp_path, "apps.counter:app", *args, env=env)

    return start


def send(page: Page, site: Served, text: str = "a\nb\nc\n", **fields: str) -> None:
    """Log in, fill the form and send it."""
    page.goto(f"{site.url}/login/ada")
    page.set_input_files(
        "[name=file]", {"name": "lines.txt", "mimeType": "text/plain", "buffer": text.encode()}
    )
    page.fill("[name=title]", "Zoë’s")
    for name, value in fields.items():
        page.fill(f"[name={name}]", value)
    page.click("button")


NORMAL = "ada has 3 lines in lines.txt, called Zoë’s"


@pytest.mark.parametrize("wait", [None, QUICK], ids=["without", "with"])
def test_a_quick_view_gives_its_page_with_the_decorator_and_without(
    start: Start, page: Page, wait: str | None
) -> None:
    site = start(wait)
    send(page, site)
    expect(page.locator("main")).to_have_text(NORMAL)
    assert page.url == f"{site.url}/count"
    page.goto(site.url)
    expect(page.locator("main")).to_have_text("3 lines so far")


def test_a_slow_view_shows_its_progress_and_then_its_page(
    start: Start, page: Page, latch: Latch
) -> None:
    site = start(SLOW)
    send(page, site, hold="yes")
    expect(page).to_have_url(JOB)
    expect(page.get_by_role("progressbar")).to_have_js_property("value", 0.25)
    expect(page.get_by_text("Counting lines.txt")).to_be_visible()
    latch.open()
    expect(page).to_have_url(RESULT)
    expect(page.locator("main")).to_have_text(NORMAL)
    page.go_back()
    expect(page.locator("form")).to_be_visible()
    expect(page.locator("main")).to_have_text(re.compile("lines so far"))


def test_without_javascript_the_page_comes_too(
    start: Start, open_page: OpenPage, latch: Latch
) -> None:
    page = open_page(java_script_enabled=False)
    site = start(SLOW)
    send(page, site, hold="yes")
    latch.arrived(1)
    expect(page).to_have_url(JOB)
    latch.open()
    expect(page.locator("main")).to_have_text(NORMAL)
    expect(page).to_have_url(RESULT)


def test_a_redirect_leads_on_with_its_message(start: Start, page: Page, latch: Latch) -> None:
    site = start(SLOW)
    send(page, site, hold="yes", then="redirect")
    expect(page.get_by_role("progressbar")).to_be_visible()
    latch.open()
    expect(page).to_have_url(f"{site.url}/")
    expect(page.locator("#flash")).to_have_text("Counted 3 lines")
    expect(page.locator("main")).to_have_text("3 lines so far")


def test_the_views_own_404_is_its_own(
    start: Start, page: Page, page_errors: PageErrors, latch: Latch
) -> None:
    page_errors.allow(r"404 \(NOT FOUND\)")
    site = start(SLOW)
    send(page, site, text="nothing", hold="yes")
    expect(page.get_by_role("progressbar")).to_be_visible()
    with page.expect_response(RESULT) as answered:
        latch.open()
    assert answered.value.status == 404
    assert answered.value.headers["backburner-result"] in page.url
    expect(page.locator("body")).to_contain_text("There is nothing to count.")


def test_a_view_that_fails_says_so_on_its_jobs_page(start: Start, page: Page, latch: Latch) -> None:
    site = start(SLOW)
    send(page, site, hold="yes", then="break")
    expect(page.get_by_role("progressbar")).to_be_visible()
    latch.open()
    expect(page.get_by_role("alert")).to_contain_text("The job failed because of an error")
    expect(page).to_have_url(JOB)
    expect(page.locator("body")).not_to_contain_text("secret")
