"""A job over HTTP: what is asked of it, and what is answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, current_app, jsonify, make_response
from flask.testing import FlaskClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse

from flask_backburner import Job, JobError, current_job
from support.apps import Site, site_in, until_state
from support.waiting import until

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
UNKNOWN = "0" * 22


def add_tasks(site: Site) -> None:
    @site.tasks.task(name="double")
    def double(number: int) -> int:
        return 2 * number

    @site.tasks.task(name="fail")
    def fail(words: str, public: bool) -> None:
        raise JobError(words) if public else ValueError(words)

    @site.tasks.task(name="talk")
    def talk(lines: list[str]) -> None:
        for line in lines:
            current_job.log(line)

    @site.app.post("/double/<int:number>")
    def start(number: int) -> Any:
        return double.delay(number)

    @site.app.post("/headers")
    def with_headers() -> Any:
        return double.delay(1), {"X-Shop": "yes"}

    @site.app.post("/status")
    def with_status() -> Any:
        return double.delay(1), 201

    @site.app.post("/all")
    def with_all() -> Any:
        return double.delay(1), 203, {"X-Shop": "yes"}

    @site.app.post("/made")
    def made() -> Response:
        response = make_response(double.delay(1))
        response.set_cookie("seen", "1")
        return response

    @site.app.post("/own")
    def own() -> Response:
        return jsonify(job=double.delay(1).document())

    @site.app.get("/started")
    def started_by_get() -> Any:
        return double.delay(1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        add_tasks(site)
        yield site


@pytest.fixture
def client(site: Site) -> FlaskClient:
    return site.client


def start(site: Site, task: str, *args: Any, **using: Any) -> Job[Any]:
    with site.app.app_context():
        return site.tasks._tasks[task].using(**using).delay(*args)


def done(site: Site, task: str, *args: Any) -> Job[Any]:
    job = start(site, task, *args)
    site.work()
    return job.refresh()


# Starting


def test_a_view_that_returns_a_job_answers_202_and_where_to_ask(client: FlaskClient) -> None:
    answer = client.post("/double/21")
    assert answer.status == "202 ACCEPTED"
    assert answer.json is not None
    assert answer.headers["Location"] == f"/jobs/{answer.json['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Accept, Cookie, Authorization"
    assert answer.json["state"] == "queued"
    assert client.get(answer.headers["Location"]).json == answer.json


def test_headers_beside_a_job_are_sent_too(client: FlaskClient) -> None:
    answer = client.post("/headers")
    assert (answer.status_code, answer.headers["X-Shop"]) == (202, "yes")
    assert answer.headers["Location"].startswith("/jobs/")


def test_a_status_beside_a_job_replaces_the_202_as_in_any_view(client: FlaskClient) -> None:
    assert client.post("/status").status_code == 201
    answer = client.post("/all")
    assert (answer.status_code, answer.headers["X-Shop"]) == (203, "yes")
    assert answer.headers["Location"].startswith("/jobs/")


def test_a_job_goes_through_make_response(client: FlaskClient) -> None:
    answer = client.post("/made")
    assert answer.status_code == 202
    assert answer.headers["Set-Cookie"] == "seen=1; Path=/"


def test_after_request_sees_the_answer(site: Site) -> None:
    seen = []

    @site.app.after_request
    def look(response: Response) -> Response:
        seen.append((response.status_code, response.headers["Location"], response.get_json()["id"]))
        response.headers["X-Seen"] = "1"
        return response

    answer = site.client.post("/double/1")
    assert answer.json is not None
    assert seen == [(202, f"/jobs/{answer.json['id']}", answer.json["id"])]
    assert answer.headers["X-Seen"] == "1"


def test_a_document_goes_into_a_response_of_the_apps_own(site: Site) -> None:
    answer = site.client.post("/own")
    assert answer.json is not None
    id = answer.json["job"]["id"]
    site.work()
    with site.app.app_context():
        document = site.tasks.job(id).document()
        assert document["result"] == 2
        assert jsonify(document).json == site.client.get(f"/jobs/{id}").json


def test_a_browser_is_sent_to_the_jobs_page(client: FlaskClient) -> None:
    answer = client.post("/double/1", headers=HTML)
    assert (answer.status_code, answer.data) == (303, b"")
    page = client.get(answer.headers["Location"], headers=HTML)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 202),
        ("*/*", 202),
        ("", 202),
        ("application/json, text/html;q=0.9", 202),
        ("text/html", 303),
        ("text/html, application/json;q=0.9", 303),
    ],
)
def test_only_who_prefers_a_page_is_sent_to_it(
    client: FlaskClient, accept: str, status: int
) -> None:
    assert client.post("/double/1", headers={"Accept": accept}).status_code == status


def test_head_and_options_of_a_view_that_returns_a_job(client: FlaskClient) -> None:
    head = client.head("/started")
    assert (head.status_code, head.data) == (202, b"")
    assert head.headers["Location"].startswith("/jobs/")
    allowed = client.options("/started").headers["Allow"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "OPTIONS"}


# Waiting first


def waits(site: Site, wait: float) -> TestResponse:
    @site.app.post("/wait")
    def view() -> Response:
        return site.tasks._tasks["double"].delay(21).accepted(wait=wait)

    return site.client.post("/wait")


def test_quick_work_is_answered_at_once(site: Site) -> None:
    with site.working():
        answer = waits(site, 10.0)
    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["state"], answer.json["result"]) == ("succeeded", 42)
    assert answer.headers["Location"] == f"/jobs/{answer.json['id']}"
    assert "Retry-After" not in answer.headers


def test_long_work_is_answered_with_202(site: Site) -> None:
    answer = waits(site, 0.05)
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")


# The document

ALWAYS = {
    "id", "task", "state", "done", "version", "queue", "attempt", "retries_left", "crashes",
    "created_at", "run_at", "started_at", "finished_at", "updated_at", "start_by", "kept_until",
    "progress", "cancel_requested", "overdue", "waiting", "error", "files", "poll_after", "links",
}  # fmt: skip


def get(site: Site, job: Job[Any]) -> dict[str, Any]:
    answer = site.client.get(f"/jobs/{job.id}")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.get_json()
    return document


def test_a_queued_jobs_document(site: Site) -> None:
    document = get(site, job := start(site, "double", 21))
    assert set(document) == ALWAYS
    assert document["id"] == job.id
    assert document["task"] == "double"
    assert (document["state"], document["done"], document["version"]) == ("queued", False, 1)
    assert (document["queue"], document["attempt"], document["crashes"]) == ("default", 0, 0)
    assert document["created_at"] == document["run_at"] == document["updated_at"]
    assert document["started_at"] is document["finished_at"] is None
    assert document["progress"] == {
        "current": None,
        "total": None,
        "fraction": None,
        "message": None,
        "phase": None,
        "remaining": None,
    }
    assert document["cancel_requested"] is False
    assert (document["error"], document["files"]) == (None, [])
    assert document["poll_after"] in (0.3, 1.0)  # by its age
    assert document["links"]["self"] == f"/jobs/{job.id}"
    assert document["links"]["log"] == f"/jobs/{job.id}/log"
    assert document["links"]["cancel"] == f"/jobs/{job.id}/cancel"


def test_every_link_of_a_document_leads_somewhere(site: Site) -> None:
    adapter = site.app.url_map.bind("localhost")
    for name, path in get(site, start(site, "double", 1))["links"].items():
        method = "POST" if name == "cancel" else "GET"
        assert adapter.match(path, method)[0].startswith("backburner."), name


def test_times_are_utc_to_the_millisecond(site: Site) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    written = get(site, start(site, "double", 1))["created_at"]
    assert len(written) == len("2026-11-20T09:00:00.123Z")
    assert written.endswith("Z")
    assert before <= datetime.fromisoformat(written) <= datetime.now(UTC)


def test_a_running_jobs_document(site: Site) -> None:
    reached, go_on = threading.Event(), threading.Event()

    @site.tasks.task(name="half")
    def half() -> None:
        current_job.progress(30, 100, "Loading rows")
        reached.set()
        go_on.wait(60)

    job = start(site, "half")
    with site.working():
        assert reached.wait(60)
        until_state(job, "running")
        site_progress = wait_for_progress(site, job)
        document = get(site, job)
        go_on.set()
    assert set(document) == ALWAYS
    assert (document["state"], document["attempt"], document["done"]) == ("running", 1, False)
    assert site_progress == (30, 100, 0.3, "Loading rows")
    assert document["progress"]["remaining"] >= 0
    assert document["started_at"] >= document["created_at"]
    assert document["finished_at"] is None


def wait_for_progress(site: Site, job: Job[Any]) -> tuple[Any, ...]:
    progress = until(lambda: (found := get(site, job)["progress"])["current"] and found)
    return tuple(progress[name] for name in ("current", "total", "fraction", "message"))


def test_a_finished_jobs_document_has_its_result(site: Site) -> None:
    document = get(site, done(site, "double", 21))
    assert set(document) == ALWAYS | {"result"}
    assert (document["state"], document["done"], document["result"]) == ("succeeded", True, 42)
    assert document["poll_after"] is None
    assert document["created_at"] <= document["started_at"] <= document["finished_at"]


def test_a_result_of_none_is_there_as_null(site: Site) -> None:
    assert get(site, done(site, "talk", []))["result"] is None


@pytest.mark.parametrize(("size", "shown"), [((16 << 10) - 2, True), ((16 << 10) - 1, False)])
def test_a_result_is_in_the_document_up_to_16_kib(site: Site, size: int, shown: bool) -> None:
    @site.tasks.task(name="text")
    def text() -> str:
        return "x" * size

    assert ("result" in get(site, done(site, "text"))) is shown


def test_a_cancelled_jobs_document(site: Site) -> None:
    job = start(site, "double", 1).cancel()
    document = get(site, job)
    assert set(document) == ALWAYS
    assert (document["state"], document["cancel_requested"]) == ("cancelled", True)
    assert document["error"] is None
    assert document["finished_at"] is not None


def test_words_meant_for_the_user_are_in_the_document(site: Site) -> None:
    document = get(site, done(site, "fail", "The file has no header row", True))
    assert set(document) == ALWAYS
    assert document["state"] == "failed"
    assert document["error"] == {"code": "error", "message": "The file has no header row"}


def test_the_text_of_any_other_exception_stays_with_the_operators(site: Site) -> None:
    job = done(site, "fail", "postgres://user:secret@db", False)
    answer = site.client.get(f"/jobs/{job.id}")
    assert answer.get_json()["error"] == {
        "code": "error",
        "message": f"The job failed because of an error. Its id is {job.id}.",
    }
    page = site.client.get(f"/jobs/{job.id}", headers=HTML)
    log = site.client.get(f"/jobs/{job.id}/log")
    assert [each for each in (answer, page, log) if "secret" in each.text] == []
    assert job.error is not None
    assert job.error.message == "ValueError: postgres://user:secret@db"


def test_in_debug_mode_the_text_is_shown(site: Site) -> None:
    job = done(site, "fail", "secret", False)
    site.app.debug = True
    assert get(site, job)["error"]["message"] == "ValueError: secret"


def test_a_job_that_waits_for_a_time_is_asked_again_when_that_comes(site: Site) -> None:
    soon = site.client.get(f"/jobs/{start(site, 'double', 1, countdown=14).id}")
    assert 1 < soon.get_json()["poll_after"] <= 14
    assert 1 < int(soon.headers["Retry-After"]) <= 14
    far_off = site.client.get(f"/jobs/{start(site, 'double', 1, countdown=3600).id}")
    assert far_off.get_json()["poll_after"] == 15.0
    assert far_off.headers["Retry-After"] == "15"


# Not read again for nothing


def test_what_has_not_changed_is_not_sent_again(site: Site) -> None:
    job = start(site, "double", 1)
    first = site.client.get(f"/jobs/{job.id}")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    again = site.client.get(f"/jobs/{job.id}", headers={"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert again.headers["Retry-After"] == "1"
    assert again.headers["Cache-Control"] == "private, no-cache"
    assert again.headers["Vary"] == "Accept, Cookie, Authorization"
    job.cancel()
    changed = site.client.get(f"/jobs/{job.id}", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


@pytest.mark.parametrize("wanted", ['"other", {tag}', "*", "{strong}"])
def test_if_none_match_may_be_a_list_a_star_or_a_strong_tag(site: Site, wanted: str) -> None:
    url = f"/jobs/{start(site, 'double', 1).id}"
    tag = site.client.get(url).headers["ETag"]
    value = wanted.format(tag=tag, strong=tag.removeprefix("W/"))
    assert site.client.get(url, headers={"If-None-Match": value}).status_code == 304


def test_a_page_and_a_document_have_different_tags(site: Site) -> None:
    url = f"/jobs/{start(site, 'double', 1).id}"
    tags = {
        site.client.get(url).headers["ETag"],
        site.client.get(url, headers=HTML).headers["ETag"],
    }
    assert len(tags) == 2


def test_nothing_says_when_to_ask_again_once_the_job_is_done(site: Site) -> None:
    url = f"/jobs/{done(site, 'double', 1).id}"
    answer = site.client.get(url)
    assert "Retry-After" not in answer.headers
    unchanged = site.client.get(url, headers={"If-None-Match": answer.headers["ETag"]})
    assert unchanged.status_code == 304
    assert "Retry-After" not in unchanged.headers


def test_head_and_options_of_a_job(site: Site) -> None:
    url = f"/jobs/{start(site, 'double', 1).id}"
    head, answer = site.client.head(url), site.client.get(url)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["ETag"] == answer.headers["ETag"]
    assert set(site.client.options(url).headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("id", [UNKNOWN, "short", "x" * 23, "ä" * 22, "%00" * 22, "-" * 22])
def test_an_unknown_id_is_404_and_no_riddle(client: FlaskClient, id: str) -> None:
    for answer in (
        client.get(f"/jobs/{id}"),
        client.get(f"/jobs/{id}/log"),
        client.post(f"/jobs/{id}/cancel"),
    ):
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.get_json()["detail"] == "There is no job with this id."


# The log


def lines(answer: TestResponse) -> list[tuple[int, str, str]]:
    return [(line["id"], line["level"], line["text"]) for line in answer.get_json()["lines"]]


def test_the_log_is_read_line_by_line(site: Site) -> None:
    job = done(site, "talk", ["one", "two", "three"])
    answer = site.client.get(f"/jobs/{job.id}/log")
    assert lines(answer) == [(1, "info", "one"), (2, "info", "two"), (3, "info", "three")]
    assert answer.get_json()["next"] == 3
    assert set(answer.get_json()["lines"][0]) == {"id", "at", "level", "text"}
    assert answer.headers["Cache-Control"] == "private, no-cache"
    rest = site.client.get(f"/jobs/{job.id}/log?after=2")
    assert lines(rest) == [(3, "info", "three")]
    assert rest.get_json()["next"] == 3


def test_after_the_last_line_there_is_nothing_yet(site: Site) -> None:
    job = done(site, "talk", ["one"])
    assert site.client.get(f"/jobs/{job.id}/log?after=1").json == {"lines": [], "next": 1}
    assert site.client.get(f"/jobs/{job.id}/log?after=7").json == {"lines": [], "next": 7}


@pytest.mark.parametrize("after", ["-1", "1.5", "x", "", "９", "9" * 20, "1e3"])
def test_a_wrong_line_number_is_422_and_says_what_is_right(site: Site, after: str) -> None:
    job = start(site, "double", 1)
    answer = site.client.get(f"/jobs/{job.id}/log", query_string={"after": after})
    assert answer.status_code == 422
    assert answer.get_json()["detail"] == (
        f"after is {after!r}, but must be the number of a log line, 0 or more."
    )


# Cancelling


def test_a_queued_job_is_cancelled_at_once(site: Site) -> None:
    job = start(site, "double", 1)
    answer = site.client.post(f"/jobs/{job.id}/cancel")
    assert (answer.status_code, answer.get_json()["state"]) == (200, "cancelled")
    again = site.client.post(f"/jobs/{job.id}/cancel")
    assert (again.status_code, again.json) == (200, answer.json)


def test_a_running_job_is_told_and_stops(site: Site) -> None:
    reached, go_on = threading.Event(), threading.Event()

    @site.tasks.task(name="held")
    def held() -> None:
        for step in range(1000):
            current_job.progress(step)
            reached.set()
            go_on.wait(0.01)

    job = start(site, "held")
    with site.working():
        assert reached.wait(60)
        answer = site.client.post(f"/jobs/{job.id}/cancel")
        again = site.client.post(f"/jobs/{job.id}/cancel")
        until_state(job, "cancelled")
    assert answer.status_code == 202
    assert (answer.get_json()["state"], answer.get_json()["cancel_requested"]) == ("running", True)
    assert again.status_code in (200, 202)
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize(
    ("task", "args", "state"),
    [("double", (1,), "succeeded"), ("fail", ("words", True), "failed")],
)
def test_a_job_that_is_over_cannot_be_cancelled(
    site: Site, task: str, args: tuple[Any, ...], state: str
) -> None:
    job = done(site, task, *args)
    answer = site.client.post(f"/jobs/{job.id}/cancel")
    assert answer.status_code == 409
    assert answer.get_json()["detail"] == f"The job has {state} already."
    assert job.refresh().state == state


def test_a_form_is_answered_with_the_jobs_page(site: Site) -> None:
    job = start(site, "double", 1)
    answer = site.client.post(f"/jobs/{job.id}/cancel", headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{job.id}")
    assert job.refresh().state == "cancelled"


def test_cancelling_is_a_post(site: Site) -> None:
    job = start(site, "double", 1)
    assert site.client.get(f"/jobs/{job.id}/cancel").status_code == 405
    assert job.refresh().state == "queued"


# Where the routes are


def test_under_another_prefix(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_URL_PREFIX="/admin/work/") as site:
        add_tasks(site)
        answer = site.client.post("/double/1")
        id = answer.get_json()["id"]
        assert answer.headers["Location"] == f"/admin/work/{id}"
        assert site.client.get(f"/admin/work/{id}").status_code == 200
        assert site.client.get(f"/jobs/{id}").status_code == 404


def test_without_routes_a_job_is_answered_all_the_same(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_URL_PREFIX=None) as site:
        add_tasks(site)
        answer = site.client.post("/double/1", headers=HTML)
        assert (answer.status_code, answer.get_json()["state"]) == (202, "queued")
        assert answer.get_json()["links"] == {}
        assert "Location" not in answer.headers
        assert site.client.get(f"/jobs/{answer.get_json()['id']}").status_code == 404


def test_below_another_app_the_addresses_are_right(site: Site) -> None:
    whole = Client(DispatcherMiddleware(Flask("front"), {"/shop": site.app}))
    answer = whole.post("/shop/double/1")
    id = answer.get_json()["id"]
    assert answer.headers["Location"] == f"/shop/jobs/{id}"
    assert answer.get_json()["links"]["cancel"] == f"/shop/jobs/{id}/cancel"
    page = whole.get(f"/shop/jobs/{id}", headers=HTML)
    assert f'src="/shop/jobs/{id}"' in page.text
    assert 'src="/shop/jobs/static/backburner.js?v=' in page.text
    form = whole.post(f"/shop/jobs/{id}/cancel", headers=HTML)
    assert form.headers["Location"] == f"/shop/jobs/{id}"


def test_a_place_with_strange_letters_is_quoted(site: Site) -> None:
    whole = Client(DispatcherMiddleware(Flask("front"), {"/my shop": site.app}))
    answer = whole.post("/my shop/double/1")
    assert answer.headers["Location"] == f"/my%20shop/jobs/{answer.get_json()['id']}"


def test_outside_a_request_the_application_root_counts(site: Site) -> None:
    site.app.config["APPLICATION_ROOT"] = "/shop"
    job = start(site, "double", 1)
    assert job.document()["links"]["self"] == f"/shop/jobs/{job.id}"


# Static files


def test_a_file_asked_for_by_its_content_is_kept_for_ever(site: Site) -> None:
    page = site.client.get(f"/jobs/{start(site, 'double', 1).id}", headers=HTML).text
    url = page.split('<script type="module" src="')[1].split('"')[0]
    answer = site.client.get(url, buffered=True)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "export async function* watch" in answer.text


@pytest.mark.parametrize("query", ["", "?v=0123456789ab"])
def test_a_file_under_another_address_is_asked_for_each_time(site: Site, query: str) -> None:
    answer = site.client.get(f"/jobs/static/backburner.css{query}", buffered=True)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    tag = answer.headers["ETag"]
    same = {"If-None-Match": tag}
    again = site.client.get("/jobs/static/backburner.css", headers=same, buffered=True)
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapi.py", "%2e%2e", "static.py"])
def test_no_other_file_is_served(client: FlaskClient, name: str) -> None:
    assert client.get(f"/jobs/static/{name}").status_code == 404


def test_the_app_may_take_the_answer_for_its_own_class(site: Site) -> None:
    class ShopResponse(Response):
        default_mimetype = "text/plain"

    site.app.response_class = ShopResponse
    answer = site.client.post("/double/1")
    assert (answer.status_code, answer.mimetype) == (202, "application/json")


def test_the_app_is_current_while_its_routes_answer(site: Site) -> None:
    seen = []
    site.app.after_request(lambda response: (seen.append(current_app.name), response)[1])
    site.client.get(f"/jobs/{UNKNOWN}")
    assert seen == ["shop"]
