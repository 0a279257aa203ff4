"""backburner.js in a real browser, against a server that answers what the test says."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from conftest import OpenPage
from support.browsing import PageErrors
from support.recorder import comes_true, heard, part, recorded
from support.stage import BARE, JOB, WEB, Stage, document, lit_stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with lit_stage() as stage:
        yield stage


@pytest.fixture
def page(stage: Stage, open_page: OpenPage) -> Iterator[Page]:
    """A page that records what happens in it; all under the strict policy."""
    with recorded(open_page()) as page:
        yield page


# The bar


def test_the_bar_follows_the_document(page: Page, stage: Stage) -> None:
    page.goto(stage.url)
    for fraction, shown in [(0.1, "10%"), (0.35, "35%"), (0.999, "99%")]:
        stage.set(progress={"fraction": fraction, "message": f"At {shown}", "remaining": 12.4})
        expect(part(page, "amount")).to_have_text(shown)
        expect(part(page, "bar")).to_have_js_property("value", fraction)
        expect(part(page, "message")).to_have_text(f"At {shown}")
        expect(part(page, "left")).to_have_text("about 12 s left")
    stage.finish("succeeded", result="1234 rows")
    expect(part(page, "state")).to_have_text("Done")
    expect(part(page, "bar")).to_have_js_property("value", 1)
    expect(part(page, "amount")).to_have_text("100%")
    expect(part(page, "result")).to_have_text("1234 rows")
    expect(part(page, "left")).to_be_hidden()
    expect(part(page, "cancel")).to_be_hidden()


def test_the_bar_has_no_value_while_the_total_is_unknown(page: Page, stage: Stage) -> None:
    page.goto(stage.url)
    stage.set(progress={"current": 1234})
    expect(part(page, "amount")).to_have_text("1,234 done")
    assert part(page, "bar").get_attribute("value") is None
    stage.set(progress={"fraction": 0.5})
    expect(part(page, "bar")).to_have_attribute("value", "0.5")
    stage.set(progress={"fraction": None})
    expect(part(page, "bar")).not_to_have_attribute("value", "0.5")
    assert part(page, "bar").get_attribute("value") is None


def test_the_bar_has_a_name_for_screen_readers(page: Page, stage: Stage) -> None:
    stage.body = f'<job-progress src="{JOB}"></job-progress>'
    stage.set(task="reports.yearly:build_all_CSVs")
    page.goto(stage.url)
    expect(page.get_by_role("progressbar", name="Build all CSVs")).to_be_visible()
    expect(part(page, "label")).to_be_hidden()


def test_an_older_document_is_ignored(page: Page, stage: Stage) -> None:
    stage.set(version=7, progress={"fraction": 0.7})
    page.goto(stage.url)
    expect(part(page, "amount")).to_have_text("70%")
    stage.set(version=3, progress={"fraction": 0.3})
    stage.read_again()
    stage.set(version=8, progress={"fraction": 0.8})
    expect(part(page, "amount")).to_have_text("80%")
    assert heard(page, "job-progress") == [7, 8]


def test_a_queued_job_waits_to_start(page: Page, stage: Stage) -> None:
    stage.set(state="queued")
    page.goto(stage.url)
    expect(part(page, "state")).to_have_text("Queued")
    expect(part(page, "message")).to_have_text("Waiting to start")
    stage.set(waiting={"reason": "in_line", "position": 3, "estimate": 40.0})
    expect(part(page, "message")).to_have_text("Number 3 in line, about 40 s")
    stage.set(waiting={"reason": "no_worker", "position": None, "estimate": None})
    expect(part(page, "message")).to_have_text("No worker is running for this queue")


def test_a_failure_says_its_words(page: Page, stage: Stage) -> None:
    page.goto(stage.url)
    stage.finish("failed", error={"code": "error", "message": "No <header> row"})
    expect(page.get_by_role("alert")).to_have_text("No <header> row")
    expect(part(page, "state")).to_have_text("Failed")
    expect(part(page, "bar")).to_have_js_property("value", 0)


def test_children_show_in_the_states_that_they_name(page: Page, stage: Stage) -> None:
    stage.body = f"""<job-progress src="{JOB}">
        <b id=on data-when="active">Hold on</b>
        <a id=get data-when="succeeded" href="/">Download</a>
        <b id=sad data-when="failed cancelled">Sorry</b></job-progress>"""
    page.goto(stage.url)
    expect(page.locator("#on")).to_be_visible()
    expect(page.locator("#get")).to_be_hidden()
    stage.finish("succeeded", result={"rows": 1})
    expect(page.locator("#get")).to_be_visible()
    expect(page.locator("#on")).to_be_hidden()
    expect(page.locator("#sad")).to_be_hidden()
    expect(part(page, "result")).to_be_hidden()


def test_another_source_is_another_job(page: Page, stage: Stage) -> None:
    stage.set(version=9, progress={"fraction": 0.9})
    page.goto(stage.url)
    expect(part(page, "amount")).to_have_text("90%")
    stage.set(version=2, progress={"fraction": 0.2})
    page.locator("job-progress").evaluate("bar => bar.setAttribute('src', '/jobs/another')")
    expect(part(page, "amount")).to_have_text("20%")


def test_a_bar_taken_away_asks_no_more(page: Page, stage: Stage) -> None:
    open_with_held_clock(page, stage)
    assert pace(page, 100) == 1
    page.locator("job-progress").evaluate("bar => bar.remove()")
    assert pace(page, 60_000) == 0


# Events


def test_job_done_comes_once_when_it_was_seen_live(page: Page, stage: Stage) -> None:
    page.goto(stage.url)
    expect(part(page, "state")).to_have_text("Running")
    stage.finish("succeeded")
    expect(part(page, "state")).to_have_text("Done")
    assert heard(page, "job-done") == [2]
    assert heard(page, "job-restored") == []
    page.locator("job-progress").evaluate("bar => document.body.append(bar)")
    assert heard(page, "job-done") == [2]


@pytest.mark.parametrize("path", ["/", JOB], ids=["made here", "from the server"])
def test_job_restored_comes_instead_at_load(page: Page, stage: Stage, path: str) -> None:
    stage.finish("succeeded")
    page.goto(stage.url + path)
    comes_true(page, "heard.length == 2")
    assert heard(page, "job-progress") == [2]
    assert heard(page, "job-restored") == [2]
    assert heard(page, "job-done") == []


def test_a_page_that_reloads_at_the_end_reloads_once(page: Page, stage: Stage) -> None:
    page.add_init_script("addEventListener('job-done', () => location.reload())")
    page.goto(stage.url + JOB)
    with page.expect_navigation():
        stage.finish("succeeded")
    comes_true(page, "heard.some(([name]) => name == 'job-restored')")
    assert heard(page, "job-done") == []


# What the server rendered


def test_the_servers_markup_shows_the_state_before_any_answer(page: Page, stage: Stage) -> None:
    stage.open.clear()
    stage.set(progress={"fraction": 0.4, "message": "Loading rows"})
    page.goto(stage.url + JOB)
    comes_true(page, "heard.length == 1")
    expect(part(page, "amount")).to_have_text("40%")
    expect(part(page, "bar")).to_have_js_property("value", 0.4)
    assert stage.answered == []
    stage.set(progress={"fraction": 0.6})
    stage.open.set()
    expect(part(page, "amount")).to_have_text("60%")
    expect(page.locator("progress")).to_have_count(1)


def queued(reason: str, position: int | None = None, estimate: float | None = None) -> Any:
    waiting = {"reason": reason, "position": position, "estimate": estimate}
    return document(state="queued", waiting=waiting)


DOCUMENTS = {
    "queued": document(state="queued"),
    "next": queued("in_line", 1),
    "in line": queued("in_line", 12, 125.0),
    "far back": queued("in_line"),
    "scheduled": queued("scheduled", None, 9000.0),
    "later": queued("scheduled"),
    "retry": queued("retry", None, 30.0),
    "retry later": queued("retry"),
    "no worker": queued("no_worker"),
    "paused": queued("paused"),
    "limit": queued("limit"),
    "started": document(),
    "counting": document(progress={"current": 12345, "message": "Reading <rows>"}),
    "going": document(progress={"fraction": 0.29, "message": "Loading", "remaining": 0.2}),
    "phase": document(progress={"fraction": 0.0, "phase": "Resizing", "remaining": 89.5}),
    "second": document(attempt=2, progress={"fraction": 0.5, "remaining": 5400.0}),
    "cancelling": document(cancel_requested=True, progress={"fraction": 0.5}),
    "overdue": document(cancel_requested=True, overdue=True, attempt=2),
    "too slow": document(overdue=True, progress={"fraction": 0.5}),
    "succeeded": document(state="succeeded", done=True, result='It\'s "done" & <well>'),
    "number": document(state="succeeded", done=True, result=0),
    "nothing": document(state="succeeded", done=True, result=None),
    "failed": document(
        state="failed", done=True, error={"code": "error", "message": "It's <broken>"}
    ),
    "cancelled": document(state="cancelled", done=True, progress={"fraction": 0.5}),
}

# Parts by class: what each shows, how it is hidden and what the browser knows of it.
PARTS = """(element) => [...element.children].map((part) => [
    part.tagName, part.className, part.hidden, part.textContent.trim(), part.role, part.ariaLive,
    part.ariaLabel, part.getAttribute("value"), part.querySelector("button")?.disabled])"""


def test_server_and_browser_show_the_same(page: Page, open_page: OpenPage, stage: Stage) -> None:
    for number, job in enumerate(DOCUMENTS.values()):
        links = {**job["links"], "self": f"/jobs/{number}"}
        stage.others[str(number)] = {**job, "links": links, "poll_after": 600}
    stage.body = "".join(
        f'<job-progress src="/jobs/{number}"></job-progress>' for number in stage.others
    )
    page.goto(stage.url)
    comes_true(page, f"new Set(heard.map(([, , bar]) => bar)).size == {len(DOCUMENTS)}")
    plain = open_page(java_script_enabled=False)
    plain.goto(stage.url + "/others")
    here, there = (
        [bar.evaluate(PARTS) for bar in p.locator("job-progress").all()] for p in (page, plain)
    )
    assert dict(zip(DOCUMENTS, here, strict=True)) == dict(zip(DOCUMENTS, there, strict=True))


def test_the_page_works_without_scripts(open_page: OpenPage, stage: Stage) -> None:
    stage.say("Reading <b>rows</b>")
    page = open_page(java_script_enabled=False)
    page.goto(stage.url + JOB)
    expect(page.get_by_role("heading", level=1)).to_have_text("Export")
    expect(page.locator("job-log li")).to_have_text("09:00:01 Reading <b>rows</b>")
    assert page.locator("head noscript meta").get_attribute("content") == "60"
    page.get_by_role("button", name="Cancel").click()
    expect(part(page, "state")).to_have_text("Cancelling …")
    assert stage.cancels[0]["csrf_token"] == "a-token"


def test_a_problem_is_a_page(page: Page, stage: Stage) -> None:
    page.goto(stage.url + "/problem")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such job")
    expect(page.get_by_role("link")).to_have_attribute(
        "href", "https://example.org/problems#unknown"
    )


# Cancel


def test_cancel_asks_the_server(page: Page, stage: Stage) -> None:
    stage.body = f'<meta name="csrf-token" content="from-the-page">{BARE}'
    page.goto(stage.url)
    page.get_by_role("button", name="Cancel").click()
    expect(part(page, "state")).to_have_text("Cancelling …")
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    assert [c["X-Csrftoken"] for c in stage.cancels] == ["from-the-page"]
    assert [c["Accept"] for c in stage.cancels] == ["application/json"]
    stage.finish("cancelled")
    expect(part(page, "state")).to_have_text("Cancelled")
    expect(part(page, "cancel")).to_be_hidden()
    assert heard(page, "job-done") == [3]


def test_cancel_takes_the_token_of_the_rendered_form(page: Page, stage: Stage) -> None:
    page.goto(stage.url + JOB)
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(part(page, "state")).to_have_text("Cancelling …")
    assert [c["X-Csrftoken"] for c in stage.cancels] == ["a-token"]
    stage.finish("cancelled")
    expect(page.locator("job-progress")).to_be_focused()


def test_a_refused_cancel_is_said(page: Page, stage: Stage, page_errors: PageErrors) -> None:
    page_errors.allow("status of 403")
    stage.cancel_status = 403
    page.goto(stage.url)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text(
        "This job could not be cancelled. Please try again."
    )
    expect(page.get_by_role("button", name="Cancel")).to_be_enabled()


def test_a_cancel_that_comes_too_late_shows_the_end(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("status of 409")
    stage.cancel_status = 409
    stage.set(poll_after=600)
    page.goto(stage.url)
    expect(part(page, "state")).to_have_text("Running")
    stage.finish("succeeded")
    page.get_by_role("button", name="Cancel").click()
    expect(part(page, "state")).to_have_text("Done")
    expect(part(page, "note")).to_be_hidden()


# Time stands still but for what these let pass


def open_with_held_clock(page: Page, stage: Stage) -> None:
    """Open the page with timers that fire only in ``pace``; the job has been asked for once."""
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.add_init_script("Math.random = () => 0.5")  # no jitter
    page.goto(stage.url)
    page.clock.run_for(1)


def settle(page: Page) -> None:
    """Wait until the page has been answered and its scripts have heard it."""
    comes_true(page, "asked > 0 && asked == answered")
    page.evaluate("plainFetch('/favicon.ico').then((answer) => answer.text())")


def pace(page: Page, milliseconds: int) -> int:
    """How often the page asks in so much time."""
    settle(page)
    before = page.evaluate("asked")
    page.clock.run_for(milliseconds)
    return page.evaluate("asked") - before


# When the server does not answer


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "This job is unknown."),
        (410, "This job is no longer kept."),
        (401, "Please sign in again."),
        (418, "This job cannot be read (418)."),
    ],
)
def test_a_job_that_cannot_be_read_is_said(
    page: Page, stage: Stage, page_errors: PageErrors, status: int, words: str
) -> None:
    page_errors.allow(f"status of {status}")
    stage.status = status
    page.goto(stage.url)
    expect(page.get_by_role("alert")).to_have_text(words)
    expect(part(page, "bar")).to_be_hidden()
    expect(page.get_by_role("button")).to_have_count(0)
    assert page.evaluate("asked") == 1


def test_a_lost_connection_is_said_and_found_again(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("Failed to load resource")
    stage.set(progress={"fraction": 0.4})
    page.goto(stage.url)
    expect(part(page, "amount")).to_have_text("40%")
    stage.status = 503
    expect(page.get_by_role("status")).to_have_text("Connection lost, retrying …")
    expect(part(page, "amount")).to_have_text("40%")
    stage.status = 200
    stage.set(progress={"fraction": 0.6})
    expect(part(page, "amount")).to_have_text("60%")
    expect(part(page, "note")).to_be_hidden()


def test_being_online_again_is_noticed_at_once(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("ERR_INTERNET_DISCONNECTED")
    open_with_held_clock(page, stage)
    expect(part(page, "state")).to_have_text("Running")
    page.context.set_offline(True)
    page.clock.run_for(1000)
    expect(part(page, "note")).to_have_text("Connection lost, retrying …")
    stage.finish("succeeded")
    page.context.set_offline(False)
    expect(part(page, "state")).to_have_text("Done")


def test_tries_grow_rarer_and_heed_the_server(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("status of 503")
    stage.status = 503
    open_with_held_clock(page, stage)
    expect(part(page, "note")).to_be_visible()
    assert pace(page, 990) == 0
    assert pace(page, 20) == 1
    assert pace(page, 1_970) == 0
    stage.headers = {"Retry-After": "40"}
    assert pace(page, 40) == 1
    assert pace(page, 39_900) == 0
    assert pace(page, 200) == 1


# The pace


def test_the_document_sets_the_pace(page: Page, stage: Stage) -> None:
    stage.set(poll_after=2.0)
    open_with_held_clock(page, stage)
    expect(part(page, "state")).to_have_text("Running")
    assert pace(page, 1990) == 0
    assert pace(page, 20) == 1


def test_an_unchanged_job_is_answered_304_and_asked_for_less_often(
    page: Page, stage: Stage
) -> None:
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status))
    stage.set(poll_after=0.3)
    stage.headers = {"Retry-After": "1"}
    open_with_held_clock(page, stage)
    expect(part(page, "state")).to_have_text("Running")
    statuses.clear()
    assert [pace(page, wait) for wait in (300, 450, 675)] == [1, 1, 1]
    assert pace(page, 990) == 0
    assert pace(page, 20) == 1
    settle(page)
    assert set(statuses) - {204} == {304}
    assert heard(page, "job-progress") == [2]


def test_nothing_is_asked_while_the_page_is_hidden(page: Page, stage: Stage) -> None:
    open_with_held_clock(page, stage)
    expect(part(page, "state")).to_have_text("Running")
    show = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(show, True)
    assert pace(page, 600_000) == 0
    stage.finish("succeeded")
    page.evaluate(show, False)
    expect(part(page, "state")).to_have_text("Done")


# Screen readers


def test_the_live_line_says_quarters_phases_and_the_end(page: Page, stage: Stage) -> None:
    page.goto(stage.url)
    expect(part(page, "state")).to_have_text("Running")
    for percent in range(5, 100, 5):
        phase = "load" if percent < 60 else "sum up"
        stage.set(progress={"fraction": percent / 100, "message": f"Row {percent}", "phase": phase})
        expect(part(page, "amount")).to_have_text(f"{percent}%")
    stage.finish("succeeded")
    expect(part(page, "state")).to_have_text("Done")
    assert page.evaluate("said") == [
        "Export, Running, 5%, load",
        "Export, Running, 25%, load",
        "Export, Running, 50%, load",
        "Export, Running, 60%, sum up",
        "Export, Running, 75%, sum up",
        "Export, Done, 100%, sum up",
    ]


# The log


def test_the_log_grows_and_ends_with_the_job(page: Page, stage: Stage) -> None:
    stage.say("Reading")
    page.goto(stage.url + JOB)
    lines = page.locator("job-log li span")
    expect(lines).to_have_text(["Reading"])
    stage.say("<b>Row 17</b> is broken", "warning")
    stage.set(progress={"fraction": 0.5})
    expect(lines).to_have_text(["Reading", "<b>Row 17</b> is broken"])
    stage.say("The end")
    stage.finish("succeeded")
    expect(lines).to_have_text(["Reading", "<b>Row 17</b> is broken", "The end"])


def test_the_newest_line_of_a_long_log_is_in_sight(page: Page, stage: Stage) -> None:
    for number in range(300):
        stage.say(f"Row {number}")
    page.goto(stage.url + JOB)
    expect(page.get_by_text("Row 299", exact=True)).to_be_in_viewport()
    stage.say("Row 300")
    stage.set(progress={"fraction": 0.5})
    expect(page.get_by_text("Row 300", exact=True)).to_be_in_viewport()


# watch()


WATCH = """async ([url, last]) => {
    const { watch } = await import("/jobs/static/backburner.js");
    const leave = new AbortController();
    const versions = [];
    try {
        for await (const job of watch(url, { signal: leave.signal })) {
            versions.push(job.version);
            window.seen = job.version;
            if (job.version == last) leave.abort();
        }
        return [versions, null];
    } catch (error) {
        return [versions, error.status];
    }
}"""


def test_watch_ends_with_the_job(page: Page, stage: Stage) -> None:
    stage.body = ""
    stage.finish("succeeded", version=5)
    page.goto(stage.url)
    assert page.evaluate(WATCH, [JOB, None]) == [[5], None]


def test_watch_ends_quietly_when_told_to(page: Page, stage: Stage) -> None:
    stage.body = ""
    page.goto(stage.url)
    assert page.evaluate(WATCH, [JOB, 1]) == [[1], None]


def test_watch_throws_what_cannot_get_better(
    page: Page, stage: Stage, page_errors: PageErrors
) -> None:
    page_errors.allow("status of 410")
    stage.body = ""
    stage.status = 410
    page.goto(stage.url)
    assert page.evaluate(WATCH, [JOB, None]) == [[], 410]


# The files


def test_the_module_is_small() -> None:
    assert len(gzip.compress((WEB / "static" / "backburner.js").read_bytes(), 9)) <= 6000


def test_the_module_needs_no_inline_style_and_no_markup_from_text() -> None:
    source = (WEB / "static" / "backburner.js").read_text()
    forbidden = ["innerHTML", "outerHTML", "insertAdjacentHTML", ".style", "eval("]
    assert [word for word in forbidden if word in source] == []
