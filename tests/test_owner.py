"""Owners: who sees which job over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import g, request
from flask_login import LoginManager, UserMixin, login_user

from flask_backburner import BackburnerError, Job, JobError, current_job
from flask_backburner.document import links
from support.apps import Site, site_in

UNKNOWN = "0" * 22
ROUTES = [
    "/jobs/{}",
    "/jobs/{}/result",
    "/jobs/{}/files/report.txt",
    "/jobs/{}/files/other.txt",
    "/jobs/{}/log",
    "/jobs/{}/log?after=1",
    "/jobs/{}/fragment",
    "/jobs/{}/events",
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that believes who says it is somebody."""
    with site_in(tmp_path) as site:
        site.tasks.owner_loader(lambda: request.headers.get("User"))
        add_tasks(site)
        yield site


def add_tasks(site: Site) -> None:
    @site.tasks.task(name="report")
    def report(end: str = "value") -> Any:
        current_job.log("Hello")
        file = current_job.attach(b"rows", name="report.txt")
        if end == "error":
            raise JobError("No rows")
        return file if end == "file" else 1

    @site.app.post("/reports")
    def start() -> Any:
        return report.using(countdown=float(request.args.get("in", "0"))).delay(
            request.args.get("end", "value")
        )


def started_by(site: Site, user: str | None, **arguments: Any) -> str:
    headers = {} if user is None else {"User": user}
    answer = site.client.post("/reports", headers=headers, query_string=arguments)
    id: str = answer.get_json()["id"]
    return id


def every_state(site: Site, user: str | None) -> dict[str, str]:
    """Jobs of a user: one that waits and three that are over."""
    ids = {end: started_by(site, user, end=end) for end in ("value", "file", "error")}
    ids["cancelled"] = started_by(site, user)
    site.client.post(f"/jobs/{ids['cancelled']}/cancel", headers={"User": user or ""})
    site.work()
    ids["queued"] = started_by(site, user, **{"in": 1000})
    return ids


def said(site: Site, path: str, user: str | None, method: str = "GET") -> tuple[Any, ...]:
    """All that a client can tell one answer from another by."""
    headers = {} if user is None else {"User": user}
    with site.client.open(path, method=method, headers=headers) as answer:
        return answer.status, sorted(answer.headers), answer.data


def test_a_job_started_in_a_request_belongs_to_who_made_it(site: Site) -> None:
    id = started_by(site, "ann")
    with site.app.app_context():
        assert [job.id for job in site.tasks.jobs(owner="ann")] == [id]
    assert site.client.get(f"/jobs/{id}", headers={"User": "ann"}).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("user", ["bob", None])
def test_a_foreign_job_looks_like_an_unknown_one(site: Site, route: str, user: str | None) -> None:
    for id in every_state(site, "ann").values():
        foreign = said(site, route.format(id), user)
        assert foreign == said(site, route.format(UNKNOWN), user)
        assert foreign[0] == "404 NOT FOUND"


def test_a_stream_tells_of_a_foreign_job_what_it_tells_of_an_unknown_one(site: Site) -> None:
    foreign = started_by(site, "ann")
    status, headers, data = said(site, f"/jobs/events?ids={foreign}", "bob")
    assert (status, headers, data.replace(foreign.encode(), UNKNOWN.encode())) == said(
        site, f"/jobs/events?ids={UNKNOWN}", "bob"
    )
    assert b"event: gone" in data


def test_nobody_else_can_cancel_a_job(site: Site) -> None:
    id = started_by(site, "ann")
    foreign = said(site, f"/jobs/{id}/cancel", "bob", "POST")
    assert foreign == said(site, f"/jobs/{UNKNOWN}/cancel", "bob", "POST")
    assert foreign[0] == "404 NOT FOUND"
    state = site.client.get(f"/jobs/{id}", headers={"User": "ann"}).get_json()["state"]
    assert state == "queued"


@pytest.mark.parametrize("route", ROUTES)
def test_a_forgotten_job_is_gone_for_its_owner_and_unknown_to_others(
    site: Site, route: str
) -> None:
    id = started_by(site, "ann")
    site.work()
    with site.app.app_context():
        assert site.tasks.purge(older_than=0) == 1
    assert said(site, route.format(id), "ann")[0] == "410 GONE"
    assert said(site, route.format(id), "bob") == said(site, route.format(UNKNOWN), "bob")
    assert said(site, f"/jobs/{id}/cancel", "ann", "POST")[0] == "410 GONE"
    assert said(site, f"/jobs/{id}/cancel", "bob", "POST")[0] == "404 NOT FOUND"


def test_a_job_of_nobody_is_seen_by_who_knows_its_id(site: Site) -> None:
    id = started_by(site, None)
    assert said(site, f"/jobs/{id}", None)[0] == "200 OK"
    assert said(site, f"/jobs/{id}", "ann")[0] == "200 OK"


def test_all_links_of_an_own_job_lead_somewhere(site: Site) -> None:
    id = every_state(site, "ann")["file"]
    found = {
        part: said(site, url, "ann")[0]
        for part, url in links("/jobs", id).items()
        if part != "cancel"
    }
    assert set(found.values()) <= {"200 OK", "204 NO CONTENT"}


def test_using_names_another_owner(site: Site) -> None:
    with site.app.test_request_context(headers={"User": "ann"}):
        job: Job[Any] = site.tasks.task(name="nothing")(nothing).using(owner=7).delay()
    assert job.record.owner == "7"


def nothing() -> None:
    """Does it."""


def test_outside_a_request_a_job_is_nobodys(site: Site) -> None:
    with site.app.app_context():
        assert site.tasks.task(name="nothing")(nothing).delay().record.owner is None


def test_what_cannot_be_an_owner_is_refused(site: Site) -> None:
    site.tasks.owner_loader(lambda: {"id": 1})
    with (
        site.app.test_request_context(),
        pytest.raises(BackburnerError, match=r"\{'id': 1\} cannot be a job's owner"),
    ):
        site.tasks.task(name="nothing")(nothing).delay()


class User(UserMixin):  # type: ignore[misc]  # the package has no types
    def __init__(self, id: int) -> None:
        self.id = id


@pytest.fixture
def login_site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path, SECRET_KEY="secret") as site:
        manager = LoginManager(site.app)
        manager.user_loader(lambda id: User(int(id)))
        site.app.add_url_rule("/login/<int:id>", "login", lambda id: str(login_user(User(id))))
        add_tasks(site)
        yield site


def test_the_user_of_flask_login_is_the_owner(login_site: Site) -> None:
    login_site.client.get("/login/7")
    id = login_site.client.post("/reports").get_json()["id"]
    with login_site.app.app_context():
        assert login_site.tasks.job(id).record.owner == "7"
    assert login_site.client.get(f"/jobs/{id}").status_code == 200
    assert login_site.app.test_client().get(f"/jobs/{id}").status_code == 404
    login_site.client.get("/login/8")
    assert login_site.client.get(f"/jobs/{id}").status_code == 404


def test_who_is_not_logged_in_starts_jobs_of_nobody(login_site: Site) -> None:
    id = login_site.client.post("/reports").get_json()["id"]
    assert login_site.app.test_client().get(f"/jobs/{id}").status_code == 200


def test_an_owner_loader_comes_before_flask_login(login_site: Site) -> None:
    login_site.tasks.owner_loader(lambda: g.get("team", "blue"))
    login_site.client.get("/login/7")
    id = login_site.client.post("/reports").get_json()["id"]
    with login_site.app.app_context():
        assert login_site.tasks.job(id).record.owner == "blue"


def test_the_list_holds_own_jobs_newest_first(site: Site) -> None:
    first, second = started_by(site, "ann"), started_by(site, "ann")
    started_by(site, "bob")
    started_by(site, None)
    answer = site.client.get("/jobs/", headers={"User": "ann"})
    assert [job["id"] for job in answer.get_json()["jobs"]] == [second, first]
    assert answer.get_json()["next"] is None
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Accept, Cookie, Authorization"


def test_the_list_is_read_page_by_page(site: Site) -> None:
    ids = [started_by(site, "ann") for _ in range(5)]
    found: list[list[str]] = []
    url = "/jobs/?limit=2"
    while url:
        page = site.client.get(url, headers={"User": "ann"}).get_json()
        found.append([job["id"] for job in page["jobs"]])
        url = page["next"]
    assert found == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


def test_a_page_begins_where_the_last_one_ended_whatever_was_started_since(site: Site) -> None:
    ids = [started_by(site, "ann") for _ in range(3)]
    page = site.client.get("/jobs/?limit=2", headers={"User": "ann"}).get_json()
    started_by(site, "ann")
    page = site.client.get(page["next"], headers={"User": "ann"}).get_json()
    assert [job["id"] for job in page["jobs"]] == [ids[0]]


def test_the_documents_of_the_list_are_those_of_the_jobs(site: Site) -> None:
    id = every_state(site, "ann")["file"]
    listed = site.client.get("/jobs/", headers={"User": "ann"}).get_json()["jobs"]
    own = site.client.get(f"/jobs/{id}", headers={"User": "ann"}).get_json()
    assert [job for job in listed if job["id"] == id] == [own]


def test_nobody_has_no_list(site: Site) -> None:
    started_by(site, None)
    answer = site.client.get("/jobs/")
    assert (answer.status_code, answer.get_json()["title"]) == (404, "No list of jobs")


def test_the_list_leaves_out_what_is_forgotten_but_not_yet_removed(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_KEEP=0) as site:
        site.tasks.owner_loader(lambda: "ann")
        add_tasks(site)
        job = site.tasks.external("transcode", owner="ann")
        waiting = site.tasks.external("transcode", owner="ann")
        job.succeed()
        listed = site.client.get("/jobs/").get_json()["jobs"]
        assert [document["id"] for document in listed] == [waiting.id]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.0", "", "١", "9" * 30, "1e1", "\0"])
def test_a_limit_that_cannot_be_used_is_refused(site: Site, limit: str) -> None:
    answer = site.client.get("/jobs/", query_string={"limit": limit}, headers={"User": "ann"})
    assert answer.status_code == 422
    assert "a whole number from 1 to 100" in answer.get_json()["detail"]


def test_an_argument_that_is_given_twice_is_refused(site: Site) -> None:
    answer = site.client.get("/jobs/?limit=5&limit=6", headers={"User": "ann"})
    assert answer.status_code == 422
    assert answer.get_json()["detail"] == "limit is '5, 6', but must be given once."


def test_a_page_can_begin_only_at_an_own_job(site: Site) -> None:
    foreign = started_by(site, "bob")
    for place in (foreign, UNKNOWN):
        assert said(site, f"/jobs/?before={place}", "ann") == said(site, f"/jobs/{place}", "ann")
    for place in ("", "x", "%00", "é" * 22):
        assert said(site, f"/jobs/?before={place}", "ann")[0] == "422 UNPROCESSABLE ENTITY"


def test_a_page_cannot_begin_at_a_job_that_is_forgotten(site: Site) -> None:
    id = started_by(site, "ann")
    site.work()
    with site.app.app_context():
        site.tasks.purge(older_than=0)
    assert said(site, f"/jobs/?before={id}", "ann")[0] == "410 GONE"
