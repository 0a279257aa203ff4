"""From a click to a finished bar, in a real browser, with a real server and its worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from conftest import OpenPage
from support.latch import Latch
from support.servers import Served, Servers

PROGRAM = '''
from flask import Flask, render_template_string
from flask_backburner import Backburner, JobError, current_job
from support.latch import pass_latch
from support.waiting import until

app = Flask(__name__)
tasks = Backburner(app)

BUTTONS = """
<!doctype html><title>Shop</title>
{% for task in ["Export", "Patient", "Broken"] %}
<form method="post" action="{{ url_for('start', what=task) }}"><button>{{ task }}</button></form>
{% endfor %}
"""
OWN = """
<!doctype html><title>Own</title>{{ backburner.script() }}
<h1>Report</h1>{{ backburner.progress(job, label="Your report") }}
"""

@tasks.task
def export() -> dict[str, int]:
    for number in current_job.track(range(10), message="Exporting"):
        current_job.log(f"Part {number}")
        pass_latch()
    pass_latch()
    return {"rows": 1234}

@tasks.task
def patient() -> None:
    for number in current_job.track(range(10)):
        pass_latch()
        if number == 4:
            until(lambda: current_job.cancel_requested)

@tasks.task
def broken() -> None:
    current_job.progress(3, 10, "Reading")
    pass_latch()
    raise JobError("The file has <b>no</b> header row")

@app.get("/")
def buttons():
    return render_template_string(BUTTONS)

@app.post("/start/<what>")
def start(what):
    return {"Export": export, "Patient": patient, "Broken": broken}[what].delay()

@app.get("/own/<id>")
def own(id):
    return render_template_string(OWN, job=tasks.job(id))
'''

pytestmark = pytest.mark.usefixtures("latch")


@pytest.fixture
def site(tmp_path: Path, latch: Latch, serve: Servers) -> Iterator[Served]:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "app.py").write_text(PROGRAM)
    yield serve.flask_run(folder, "app")
    latch.open()


def click(page: Page, site: Served, name: str) -> str:
    """Press a button of the site; the address of the job's page, where it leads."""
    page.goto(site.url)
    page.get_by_role("button", name=name).click()
    page.wait_for_url("**/jobs/*")
    return page.url


def bar(page: Page) -> Locator:
    return page.locator("job-progress progress")


def state(page: Page) -> Locator:
    return page.locator(".backburner-state")


def test_the_bar_is_seen_at_every_step_and_at_the_end(
    page: Page, site: Served, latch: Latch
) -> None:
    click(page, site, "Export")
    seen = []
    for step in range(1, 10, 2):
        latch.step(1 if step == 1 else 2)
        latch.arrived(step + 1)
        expect(bar(page)).to_have_js_property("value", step / 10)
        expect(page.locator(".backburner-amount")).to_have_text(f"{step * 10}%")
        seen.append(bar(page).evaluate("bar => bar.value"))
    assert seen == [0.1, 0.3, 0.5, 0.7, 0.9]
    expect(page.locator(".backburner-message")).to_have_text("Exporting")
    latch.open()
    expect(state(page)).to_have_text("Done")
    expect(bar(page)).to_have_js_property("value", 1)
    expect(page.locator(".backburner-result")).to_contain_text('"rows": 1234')
    expect(page.locator("job-log li")).to_have_count(10)
    expect(page.locator(".backburner-cancel")).to_be_hidden()


def rendered_value(page: Page, url: str) -> float:
    """Where the bar stands in the page as the server sent it, before any script ran."""
    text = page.request.get(url, headers={"Accept": "text/html"}).text()
    found = re.search(r'<progress class="backburner-bar"[^>]* value="([\d.]+)"', text)
    assert found
    return float(found[1])


@pytest.mark.parametrize("done", [2, 5, 8])
def test_a_reload_in_the_middle_shows_at_least_the_last_value(
    page: Page, site: Served, latch: Latch, done: int
) -> None:
    url = click(page, site, "Export")
    latch.step(done)
    latch.arrived(done + 1)
    expect(bar(page)).to_have_js_property("value", done / 10)
    assert rendered_value(page, url) >= done / 10
    page.reload(wait_until="commit")
    bar(page).wait_for(state="attached")
    assert bar(page).evaluate("bar => bar.value") >= done / 10
    latch.open()
    expect(state(page)).to_have_text("Done")


def test_a_job_is_cancelled_in_the_middle(page: Page, site: Served, latch: Latch) -> None:
    click(page, site, "Patient")
    latch.step(4)
    latch.arrived(5)
    expect(bar(page)).to_have_js_property("value", 0.4)
    page.get_by_role("button", name="Cancel").click()
    expect(state(page)).to_have_text("Cancelling …")
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    latch.open()
    expect(state(page)).to_have_text("Cancelled")
    expect(page.locator(".backburner-cancel")).to_be_hidden()
    assert latch.arrivals == 5


def test_a_failure_says_its_words(page: Page, site: Served, latch: Latch) -> None:
    click(page, site, "Broken")
    latch.arrived(1)
    expect(bar(page)).to_have_js_property("value", 0.3)
    latch.open()
    expect(state(page)).to_have_text("Failed")
    expect(page.get_by_role("alert")).to_have_text("The file has <b>no</b> header row")


def test_a_bar_in_the_apps_own_page_is_live(page: Page, site: Served, latch: Latch) -> None:
    id = click(page, site, "Export").rpartition("/")[2]
    latch.step(3)
    latch.arrived(4)
    expect(bar(page)).to_have_js_property("value", 0.3)
    page.goto(f"{site.url}/own/{id}")
    expect(page.locator(".backburner-label")).to_have_text("Your report")
    expect(bar(page)).to_have_js_property("value", 0.3)
    latch.step(3)
    expect(bar(page)).to_have_js_property("value", 0.6)
    latch.open()
    expect(state(page)).to_have_text("Done")


@pytest.fixture
def plain(open_page: OpenPage) -> Page:
    """A page in a browser without JavaScript."""
    return open_page(java_script_enabled=False)


def test_without_javascript_the_page_reloads_itself(
    plain: Page, site: Served, latch: Latch
) -> None:
    click(plain, site, "Export")
    latch.step(4)
    latch.arrived(5)
    # The refresh of the page itself, which nobody pressed
    expect(bar(plain)).to_have_attribute("value", "0.4")
    latch.open()
    expect(state(plain)).to_have_text("Done")
    expect(plain.locator(".backburner-result")).to_contain_text('"rows": 1234')


def test_without_javascript_a_job_is_cancelled_by_its_form(
    plain: Page, site: Served, latch: Latch
) -> None:
    url = click(plain, site, "Patient")
    latch.step(4)
    latch.arrived(5)
    plain.get_by_role("button", name="Cancel").click()
    plain.wait_for_url(url)
    expect(state(plain)).to_have_text("Cancelling …")
    latch.open()
    expect(state(plain)).to_have_text("Cancelled")
    assert latch.arrivals == 5
