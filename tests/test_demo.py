"""The demo in a browser: a report from the click to the download."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page

from support.engines import EVERY, Engine
from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

ROOT = Path(__file__).parents[1]
everywhere = pytest.mark.parametrize("engine_kind", EVERY, indirect=True)

LATCHED = """
from demo.app import create_app
from demo.report import task
from demo.report.source import Source
from support.latch import pass_latch


class HeldSource(Source):
    def __iter__(self):
        for number, row in enumerate(super().__iter__()):
            if number and number % 2000 == 0:
                pass_latch()
            yield row


task.Source = HeldSource
app = create_app()
"""


ENDLESS = """
from demo.app import create_app
from demo.report import summary

summary.COUNT_VALUES = '''
    CREATE TEMP TABLE value AS
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number)
    SELECT n AS value, count(*) AS times FROM number
'''
app = create_app()
"""


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    return tmp_path / "instance"


@pytest.fixture
def demo(serve: Servers, engine: Engine, instance: Path) -> Served:
    """The demo as ``make demo`` serves it."""
    env = {"DEMO_INSTANCE": str(instance)}
    server = serve.run(ROOT, "-m", "demo", env=env).ready(Served.refuses_nonsense)
    engine.worker(serve, ROOT, "demo.app:create_app", "-c", "2", env=env)
    return server


@pytest.fixture
def held_demo(
    serve: Servers,
    engine: Engine,
    tmp_path: Path,
    instance: Path,
    latch: Latch,
    monkeypatch: pytest.MonkeyPatch,
) -> Served:
    """The demo, but every 2 000 rows a job waits at the latch."""
    (tmp_path / "held_demo.py").write_text(LATCHED)
    server = serve_app(serve, "held_demo:app", instance, monkeypatch)
    env = {"DEMO_INSTANCE": str(instance)}
    engine.worker(serve, serve.folder, "held_demo:app", "-c", "2", env=env)
    return server


def serve_app(serve: Servers, app: str, instance: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Serve a module of the test that changes the demo."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    env = {"DEMO_INSTANCE": str(instance), "FLASK_BACKBURNER_APP": app}
    threads = ("--worker-class=gthread", "--threads=8")
    return serve.gunicorn(serve.folder, app, *threads, env=env)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A CSV file of 10 000 good rows and two broken ones."""
    path = tmp_path / "orders.csv"
    rows = [f"{number},2026-01-{number % 28 + 1:02},{number % 7}.50" for number in range(10_000)]
    path.write_text("\n".join(["order,day,price", "oops", *rows, "1,2,3,4"]) + "\n")
    return path


def upload(page: Page, file: Path) -> None:
    page.set_input_files("input[type=file]", file)
    page.click("text=Make the report")


def shows(page: Page, *texts: str) -> None:
    """Wait until the page shows all these words."""
    for text in texts:
        until(
            lambda text=text: text in page.inner_text("main"), 20, lambda: page.inner_text("main")
        )


def fraction(page: Page) -> float:
    return float(page.locator("progress.backburner-bar").first.evaluate("bar => bar.value"))


@everywhere
def test_the_shipped_csv_goes_from_one_click_to_its_summary(demo: Served, page: Page) -> None:
    page.goto(demo.url)
    page.click("text=Use the time zones")
    shows(page, "Most frequent values")
    cells = [
        cell.strip()
        for cell in page.locator("main tbody tr").nth(5).locator("th, td").all_inner_texts()
    ]
    assert cells == ["offset", "number", "100%", "87", "−12", "14", "−0.3291"]
    assert page.locator(".tiles dd").all_inner_texts()[:3] == ["23,270", "8", "0"]
    page.click("text=All reports")
    shows(page, "timezones.csv", "ready")


def test_the_summary_can_be_downloaded(demo: Served, page: Page) -> None:
    page.goto(demo.url)
    page.click("text=Use the time zones")
    shows(page, "Most frequent values")
    with page.expect_download() as table:
        page.click("text=Summary as CSV")
    assert table.value.suggested_filename == "timezones-summary.csv"
    rows = list(csv.DictReader(io.StringIO(table.value.path().read_text())))
    assert [row["column"] for row in rows][:2] == ["zone", "countries"]
    assert rows[1]["most frequent"] == "US (3814); CA (2671); RU (1744); AU (1056); MX (848)"
    with page.expect_download() as document:
        page.click("text=Summary as JSON")
    assert json.loads(document.value.path().read_text())["rows"] == 23_270


def test_broken_rows_are_listed_by_their_line(demo: Served, page: Page, orders: Path) -> None:
    page.goto(demo.url)
    upload(page, orders)
    shows(page, "Rows left out")
    assert page.locator(".tiles dd").all_inner_texts()[:3] == ["10,000", "3", "2"]
    lines = [row.split("\t") for row in page.locator(".long tbody tr").all_inner_texts()]
    assert lines == [
        ["2", "1 value where the header has 3"],
        ["10,003", "4 values where the header has 3"],
    ]
    page.click("summary")
    assert "Line 2 left out: 1 value where the header has 3" in page.inner_text("job-log")


def test_a_file_without_a_header_fails_in_words_for_its_user(
    demo: Served, page: Page, tmp_path: Path
) -> None:
    file = tmp_path / "<b>bold & évil.csv"
    file.write_text("1,2\n3,4\n")
    page.goto(demo.url)
    upload(page, file)
    shows(page, "The file has no header row: its first row holds a value, “1”.")
    assert page.inner_text("h1") == "<b>bold & évil.csv"


@everywhere
def test_the_bar_moves_with_the_rows_and_survives_a_reload(
    held_demo: Served, page: Page, latch: Latch, orders: Path
) -> None:
    page.goto(held_demo.url)
    upload(page, orders)
    seen = [0.0]
    for held in range(1, 5):
        latch.arrived(held)
        seen.append(until(lambda: fraction(page) > seen[-1] and fraction(page)))
        latch.step()
    assert sorted(set(seen)) == seen
    page.reload()
    assert fraction(page) >= seen[-1]
    shows(page, "Line 2 left out: 1 value where the header has 3")
    latch.open()
    shows(page, "Most frequent values")


def test_a_cancelled_report_leaves_no_database_and_can_be_started_again(
    held_demo: Served, page: Page, latch: Latch, orders: Path, instance: Path
) -> None:
    page.goto(held_demo.url)
    upload(page, orders)
    latch.arrived(1)
    shows(page, "Loading rows")
    page.click("text=Cancel")
    shows(page, "Cancelling")
    latch.step()
    shows(page, "Nothing of the half-made report was kept.")
    assert [path.name for path in instance.glob("reports/*/*")] == ["upload.csv"]
    latch.open()
    page.click("text=Start again")
    shows(page, "Most frequent values")


def test_a_cancel_reaches_a_long_query(
    serve: Servers,
    page: Page,
    orders: Path,
    tmp_path: Path,
    instance: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "endless_demo.py").write_text(ENDLESS)
    demo = serve_app(serve, "endless_demo:app", instance, monkeypatch)
    page.goto(demo.url)
    upload(page, orders)
    shows(page, "Summarising order")
    page.click("text=Cancel")
    shows(page, "Nothing of the half-made report was kept.")
    assert [path.name for path in instance.glob("reports/*/*")] == ["upload.csv"]


def test_several_reports_are_made_at_once(
    held_demo: Served, page: Page, latch: Latch, orders: Path
) -> None:
    for jobs in (1, 2):
        page.goto(held_demo.url)
        upload(page, orders)
        latch.arrived(jobs)
    page.goto(held_demo.url)
    until(lambda: page.locator("job-progress[data-state=running]").count() == 2)
    latch.open()
    until(lambda: page.locator("job-progress[data-state=succeeded]").count() == 2)


def test_a_report_is_there_for_its_visitor_only(demo: Served) -> None:
    visitor, stranger = requests.Session(), requests.Session()
    with visitor, stranger:
        own = visitor.post(f"{demo.url}/reports/sample")
        assert own.status_code == 200
        assert stranger.get(own.url).status_code == 404
        assert stranger.post(f"{own.url}/delete").status_code == 404
        assert "timezones.csv</a>" in visitor.get(demo.url).text
        assert "timezones.csv</a>" not in stranger.get(demo.url).text


def test_a_deleted_report_is_gone_with_its_files(
    demo: Served, page: Page, orders: Path, instance: Path
) -> None:
    page.goto(demo.url)
    upload(page, orders)
    shows(page, "Most frequent values")
    page.click("text=Delete this report")
    shows(page, "None yet.")
    assert list(instance.glob("reports/*/")) == []


def test_a_file_beyond_the_limit_is_refused_before_and_after_it_is_sent(
    serve: Servers, page: Page, orders: Path, instance: Path
) -> None:
    env = {"DEMO_INSTANCE": str(instance), "FLASK_MAX_CONTENT_LENGTH": "100000"}
    demo = serve.run(ROOT, "-m", "demo", env=env).ready(Served.refuses_nonsense)
    page.goto(demo.url)
    page.set_input_files("input[type=file]", orders)
    refusal = "larger than 100 kB, the most that can be uploaded here."
    shows(page, refusal)
    assert page.is_disabled("text=Make the report")
    with orders.open("rb") as file:
        answer = requests.post(f"{demo.url}/reports", files={"file": file})
    assert answer.status_code == 413
    assert refusal in answer.text


def test_pages_forbid_foreign_scripts_and_foreign_forms(demo: Served) -> None:
    page = requests.get(demo.url)
    assert page.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self';"
    )
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.text)
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert requests.post(f"{demo.url}/reports/sample", headers=headers).status_code == 403


# Starting it


def test_a_second_demo_on_the_same_port_says_what_to_do(demo: Served, serve: Servers) -> None:
    second = serve.run(ROOT, "-m", "demo", env={"PORT": str(demo.port)})
    assert second.wait() == 1
    assert second.output() == (
        f"Cannot listen on 127.0.0.1 port {demo.port}: Address already in use. "
        f"Choose another port: PORT={demo.port + 1} make demo\n"
    )


def test_the_demo_says_where_it_is(demo: Served) -> None:
    assert f"Flask-Backburner demo: http://127.0.0.1:{demo.port}\n" in demo.output()


def test_a_port_that_is_none_is_refused_with_an_example(serve: Servers) -> None:
    demo = serve.run(ROOT, "-m", "demo", env={"PORT": "eighty"})
    assert demo.wait() == 1
    assert demo.output() == (
        "PORT is 'eighty'; it must be a number from 1 to 65535, as in: PORT=5001 make demo\n"
    )
