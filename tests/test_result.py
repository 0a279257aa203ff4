"""What a job gave, over HTTP: a value, a file, a view's answer, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response, make_response
from flask.testing import FlaskClient

from flask_backburner import JobError
from support.apps import Site, site_in

HTML = {"Accept": "text/html"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


@pytest.fixture
def client(site: Site) -> FlaskClient:
    return site.client


def finished(site: Site, function: Any, *arguments: Any) -> str:
    with site.app.app_context():
        job = site.tasks.task(name="run")(function).delay(*arguments)
        site.work()
        return str(job.id)


def same(value: Any) -> Any:
    return value


def words(text: str) -> None:
    raise JobError(text)


def secret() -> None:
    raise ValueError("the password is swordfish")


@pytest.mark.parametrize("value", [None, 0, "", [], {"rows": [1, 2.5, True, "é"]}, "x" * 100_000])
def test_a_value_is_sent_as_json(site: Site, client: FlaskClient, value: Any) -> None:
    answer = client.get(f"/jobs/{finished(site, same, value)}/result")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.get_json() == value
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Backburner-Result" not in answer.headers


def test_a_value_that_the_client_has_is_not_sent_again(site: Site, client: FlaskClient) -> None:
    id = finished(site, same, 1)
    tag = client.get(f"/jobs/{id}/result").headers["ETag"]
    answer = client.get(f"/jobs/{id}/result", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.data) == (304, b"")


@pytest.mark.parametrize("running", [False, True])
def test_before_the_end_there_is_a_conflict_that_says_when_to_ask(
    site: Site, client: FlaskClient, running: bool
) -> None:
    with site.app.app_context():
        work = site.tasks.external("transcode")
        if running:
            work.start()
    answer = client.get(f"/jobs/{work.id}/result")
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "1")
    problem = answer.get_json()
    assert (problem["type"].partition("#")[2], problem["title"]) == ("not-done", "No result yet")
    assert f"is {work.job.state} and" in problem["detail"]
    assert "error" not in problem


def test_a_job_for_later_says_to_ask_later(site: Site, client: FlaskClient) -> None:
    with site.app.app_context():
        job = site.tasks.task(name="same")(same).using(countdown=10_000).delay(1)
    assert client.get(f"/jobs/{job.id}/result").headers["Retry-After"] == "15"


def test_of_a_failed_job_there_is_its_error(site: Site, client: FlaskClient) -> None:
    id = finished(site, words, "The file has no header row")
    answer = client.get(f"/jobs/{id}/result")
    assert (answer.status_code, answer.mimetype) == (409, "application/problem+json")
    problem = answer.get_json()
    assert problem["type"].endswith("#no-result")
    assert problem["error"] == {"code": "error", "message": "The file has no header row"}
    assert problem["error"] == client.get(f"/jobs/{id}").get_json()["error"]
    assert "Retry-After" not in answer.headers


def test_the_text_of_an_exception_stays_with_the_operators(site: Site, client: FlaskClient) -> None:
    id = finished(site, secret)
    for headers in ({}, HTML):
        answer = client.get(f"/jobs/{id}/result", headers=headers)
        assert (answer.status_code, "swordfish" in answer.text) == (409, False)


def test_of_a_cancelled_job_there_is_that(site: Site, client: FlaskClient) -> None:
    with site.app.app_context():
        job = site.tasks.external("transcode").job.cancel()
    answer = client.get(f"/jobs/{job.id}/result")
    assert answer.status_code == 409
    assert answer.get_json()["error"] == {
        "code": "cancelled",
        "message": "The job was cancelled.",
    }


def test_a_browser_gets_a_page_where_there_is_no_result(site: Site, client: FlaskClient) -> None:
    answer = client.get(f"/jobs/{finished(site, words, '<b>No rows</b>')}/result", headers=HTML)
    assert (answer.status_code, answer.mimetype) == (409, "text/html")
    assert "&lt;b&gt;No rows&lt;/b&gt;" in answer.text


@pytest.mark.parametrize("id", ["0" * 22, "nonsense", "é"])
def test_an_unknown_job_has_no_result(client: FlaskClient, id: str) -> None:
    answer = client.get(f"/jobs/{id}/result")
    assert (answer.status_code, answer.get_json()["title"]) == (404, "No such job")


def test_what_a_view_answered_is_marked_so_that_its_404_is_not_ours(site: Site) -> None:
    @site.tasks.background(wait=0)
    def view() -> Response:
        response = make_response("No such shelf", 404)
        response.headers["Shelf"] = "A"
        return response

    site.app.add_url_rule("/shelf", view_func=view)
    id = site.client.get("/shelf").get_json()["id"]
    assert site.client.get(f"/jobs/{id}/result").status_code == 409
    site.work()
    answer = site.client.get(f"/jobs/{id}/result")
    assert (answer.status_code, answer.text) == (404, "No such shelf")
    assert (answer.headers["Backburner-Result"], answer.headers["Shelf"]) == (id, "A")


def test_only_get_is_allowed(client: FlaskClient) -> None:
    for path in ("result", "files/a", "log", "fragment"):
        answer = client.post(f"/jobs/{'0' * 22}/{path}")
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
