"""Requests that change something come from pages of the app's own site, or from no browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.apps import Site, site_in


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def answer(site: Site, headers: dict[str, str]) -> tuple[int, str]:
    @site.tasks.task(name="work")
    def work() -> None: ...

    with site.app.app_context():
        job = work.delay()
    response = site.client.post(f"/jobs/{job.id}/cancel", headers=headers)
    expected = "queued" if response.status_code == 403 else "cancelled"
    assert job.refresh().state == expected
    return response.status_code, response.get_json().get("detail", "")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
        {"Origin": "http://localhost"},
        {"Origin": "https://localhost"},
        {"Origin": "https://shop.example:8443", "Host": "shop.example:8443"},
    ],
)
def test_the_sites_own_pages_and_programs_pass(site: Site, headers: dict[str, str]) -> None:
    assert answer(site, headers) == (200, "")


@pytest.mark.parametrize("mark", ["cross-site", "same-site", "", "Same-Origin"])
def test_what_a_browser_calls_another_site_is_refused(site: Site, mark: str) -> None:
    headers = {"Sec-Fetch-Site": mark, "Origin": "http://localhost"}
    assert answer(site, headers) == (
        403,
        f"Sec-Fetch-Site is {mark!r}, but must be 'same-origin'. "
        "A job can be changed only from a page of its own site.",
    )


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:8080", "http://localhost.evil", "http://["],
)
def test_an_older_browser_is_known_by_its_origin(site: Site, origin: str) -> None:
    assert answer(site, {"Origin": origin}) == (
        403,
        f"Origin is {origin!r}, but the site is 'localhost'. "
        "A job can be changed only from a page of its own site.",
    )


def test_reading_is_free_of_this(site: Site) -> None:
    @site.tasks.task(name="work")
    def work() -> None: ...

    with site.app.app_context():
        url = f"/jobs/{work.delay().id}"
    assert site.client.get(url, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
