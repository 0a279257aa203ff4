"""Refusals over HTTP: problem+json for programs, a page for browsers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from flask_backburner import ArgumentError
from flask_backburner.errors import JobForgotten, StoreBusy, StoreCorrupt, StoreError, StoreFull
from support.apps import Site, site_in

HTML = {"Accept": "text/html"}
UNKNOWN = "0" * 22
DOCS = "https://flask-backburner.readthedocs.io/errors"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path, BACKBURNER_MAX_QUEUED=1, BACKBURNER_MAX_ARGS_BYTES=1000) as site:
        add_view(site)
        yield site


def add_view(site: Site) -> None:
    @site.tasks.task(name="shop:export")
    def export(year: int, title: str = "") -> int:
        return year

    @site.app.post("/export")
    def start() -> Any:
        return export.delay(2026)

    @site.app.post("/export/<year>")
    def start_year(year: str) -> Any:
        return export.delay(year)  # type: ignore[arg-type]  # what is refused here

    @site.app.post("/big")
    def start_big() -> Any:
        return export.delay(2026, title="x" * 2000)

    @site.app.post("/nothing")
    def start_without() -> Any:
        return export.delay()  # type: ignore[call-arg]  # what is refused here


def problem(answer: TestResponse) -> tuple[int, str, str, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.get_json()
    assert body["status"] == answer.status_code
    assert set(body) == {"type", "title", "status", "detail"}
    return body["status"], body["type"], body["title"], body["detail"]


def test_an_unknown_job(site: Site) -> None:
    assert problem(site.client.get(f"/jobs/{UNKNOWN}")) == (
        404,
        f"{DOCS}#not-found",
        "No such job",
        "There is no job with this id.",
    )


def test_a_browser_gets_a_page(site: Site) -> None:
    answer = site.client.get(f"/jobs/{UNKNOWN}", headers=HTML)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>No such job</h1>" in answer.text
    assert "There is no job with this id." in answer.text
    assert "<script" not in answer.text


def test_a_wrong_value_is_422_and_says_what_is_right(site: Site) -> None:
    status, type, title, detail = problem(site.client.post("/export/soon"))
    assert (status, type, title) == (422, f"{DOCS}#argument", "Argument not usable")
    assert detail.startswith("Task 'shop:export' cannot take year='soon': expected `int`")


def test_what_a_client_sent_is_text_on_the_page(site: Site) -> None:
    answer = site.client.post("/export/<b>x<b>", headers=HTML)
    assert answer.status_code == 422
    assert "&lt;b&gt;x&lt;b&gt;" in answer.text
    assert "<b>" not in answer.text


def test_too_much_is_413(site: Site) -> None:
    status, type, _, detail = problem(site.client.post("/big"))
    assert (status, type) == (413, f"{DOCS}#too-large")
    assert "at most 1000 bytes are allowed" in detail


def test_a_missing_argument_is_the_views_own_mistake(site: Site) -> None:
    site.app.testing = False
    answer = site.client.post("/nothing")
    assert answer.status_code == 500
    assert "export" not in answer.text


def test_a_full_queue_is_503_and_when_to_come_again(site: Site) -> None:
    assert site.client.post("/export").status_code == 202
    answer = site.client.post("/export")
    assert problem(answer) == (
        503,
        f"{DOCS}#queue-full",
        "Too much work waits",
        "Too many jobs wait. Try again later.",
    )
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (StoreError("/secret/path cannot be written"), 503, "store"),
        (StoreBusy("held by 17"), 503, "store"),
        (StoreCorrupt("/secret/path is damaged"), 503, "store"),
        (StoreFull("/secret/path is full"), 507, "store"),
        (JobForgotten(UNKNOWN), 410, "gone"),
    ],
)
def test_each_error_has_its_status(
    site: Site, error: Exception, status: int, slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    @site.app.get("/fail")
    def fail() -> str:
        raise error

    answer = site.client.get("/fail")
    assert problem(answer)[:2] == (status, f"{DOCS}#{slug}")
    assert "secret" not in answer.text
    assert (answer.headers.get("Retry-After") == "5") is (status == 503)
    assert (str(error) in caplog.text) is isinstance(error, StoreError)


def test_an_app_may_answer_in_its_own_words(site: Site) -> None:
    @site.app.errorhandler(ArgumentError)
    def own(error: ArgumentError) -> tuple[str, int]:
        return f"Please check {error.parameter}", 400

    answer = site.client.post("/export/soon")
    assert (answer.status_code, answer.text) == (400, "Please check year")


def test_without_routes_a_browser_gets_a_page_too(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_URL_PREFIX=None) as site:
        add_view(site)
        answer = site.client.post("/export/soon", headers=HTML)
        assert answer.status_code == 422
        assert "<h1>Argument not usable</h1>" in answer.text
        assert "stylesheet" not in answer.text


def test_other_errors_of_the_app_are_its_own(site: Site) -> None:
    assert site.client.get("/nowhere").mimetype == "text/html"
    assert "Not Found" in site.client.get("/nowhere").text
