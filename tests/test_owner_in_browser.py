"""Accounts in a real browser: a job of somebody else is an unknown one, a forgotten one is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from support.browsing import OpenPage, PageErrors
from support.servers import Served, Servers


@pytest.fixture
def served(serve: Servers, tmp_path: Path) -> Served:
    return serve.flask_run(tmp_path, "apps.members:app", env={"MEMBERS": str(tmp_path)})


def logged_in(page: Page, served: Served, name: str) -> Page:
    page.goto(f"{served.url}/login/{name}")
    return page


def status_of(page: Page, address: str) -> int:
    answer = page.goto(address)
    assert answer is not None
    return answer.status


def test_a_member_sees_only_jobs_of_their_own_and_what_was_forgotten_is_gone(
    served: Served, open_page: OpenPage, page_errors: PageErrors
) -> None:
    page_errors.allow("the server responded with a status of 4")
    ann, bob = (logged_in(open_page(), served, name) for name in ("ann", "bob"))
    started = ann.request.post(f"{served.url}/start").json()
    job = served.url + started["links"]["self"]

    assert status_of(ann, job) == 200
    expect(ann.locator(".backburner-state")).to_have_text("Done")

    assert status_of(bob, job) == 404
    expect(bob.get_by_role("heading")).to_have_text("No such job")
    assert [bob.request.get(job + part).status for part in ("", "/log", "/result", "/events")] == [
        404
    ] * 4
    assert bob.request.post(f"{job}/cancel").status == 404
    assert bob.request.get(f"{served.url}/jobs/").json()["jobs"] == []

    assert ann.request.post(f"{served.url}/forget").text() == "1"
    assert status_of(ann, job) == 410
    expect(ann.get_by_role("heading")).to_have_text("Job forgotten")
    assert status_of(bob, job) == 404
