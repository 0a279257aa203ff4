"""The browser against real servers: streams where there is room for them, else polling."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

APP = "apps.parade:app"
TESTS = Path(__file__).parent
Serve = Callable[..., Served]

# In milliseconds, of the streams that have ended.
STREAM_LENGTHS = """
    performance.getEntriesByType("resource")
        .filter(({ name }) => name.includes("/events"))
        .map(({ duration }) => duration)
"""


@pytest.fixture
def parade(serve: Servers, tmp_path: Path, latch: Latch) -> Serve:
    """Serve the app by gunicorn with these options."""

    def parade(*args: str) -> Served:
        env = {"PARADE": str(tmp_path / "instance"), "FLASK_BACKBURNER_THREADS": "20"}
        return serve.gunicorn(TESTS, APP, "-c", "python:flask_backburner.gunicorn", *args, env=env)

    return parade


def start(server: Served) -> str:
    """Start a job; where it is."""
    request = urllib.request.Request(f"{server.url}/start", method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["links"]["self"])


class Asked:
    """The requests of a page to the routes of jobs: paths in order, and how long streams took."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.paths: list[str] = []
        self.open: list[Request] = []
        self.most_open = 0
        page.on("request", self._began)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)

    def streams(self) -> bool:
        """Whether a stream is open now."""
        self._page.title()  # the browser's news arrive while something is asked of it
        return bool(self.open)

    def _began(self, request: Request) -> None:
        path = "/" + request.url.split("/", 3)[3].partition("?")[0]
        if request.resource_type == "document" or "/static/" in path or "/jobs/" not in path:
            return
        self.paths.append(path)
        if path.endswith("/events"):
            self.open.append(request)
            self.most_open = max(self.most_open, len(self.open))

    def _ended(self, request: Request) -> None:
        if request in self.open:
            self.open.remove(request)


def test_with_room_there_is_one_stream_and_no_polling(
    parade: Serve, page: Page, latch: Latch
) -> None:
    server = parade("--worker-class", "gthread", "--threads", "8")
    job = start(server)
    latch.arrived(1)
    asked = Asked(page)
    page.goto(server.url + job)
    for percent in (20, 30, 40):
        until(asked.streams, what="an open stream")
        latch.step()
        expect(page.locator(".backburner-amount")).to_have_text(f"{percent}%")
    latch.open()
    expect(page.locator(".backburner-state")).to_have_text("Done")
    expect(page.locator("job-log li span")).to_have_text([f"Step {n}" for n in range(1, 11)])
    assert asked.most_open == 1
    assert job not in asked.paths
    assert asked.paths.count(f"{job}/events") == 1


@pytest.mark.parametrize(
    "server", [("--worker-class", "sync"), ("--worker-class", "gthread", "--threads", "2")]
)
def test_without_room_the_bar_still_moves(
    parade: Serve, page: Page, latch: Latch, server: tuple[str, ...]
) -> None:
    served = parade(*server)
    job = start(served)
    latch.arrived(1)
    asked = Asked(page)
    page.goto(served.url + job)
    for percent in (20, 30, 40):
        latch.step()
        expect(page.locator(".backburner-amount")).to_have_text(f"{percent}%")
    latch.open()
    expect(page.locator(".backburner-state")).to_have_text("Done")
    expect(page.locator("job-log li span")).to_have_text([f"Step {n}" for n in range(1, 11)])
    assert asked.most_open <= 1
    assert job in asked.paths  # it was polled
    lengths = page.evaluate(STREAM_LENGTHS)
    assert lengths
    assert max(lengths) < 10_000


def test_twenty_bars_share_one_stream(parade: Serve, page: Page, latch: Latch) -> None:
    server = parade("--worker-class", "gthread", "--threads", "8")
    ids = [start(server).rpartition("/")[2] for _ in range(20)]
    asked = Asked(page)
    page.goto(f"{server.url}/bars?" + "&".join(f"id={id}" for id in ids))
    until(asked.streams, what="an open stream")
    latch.open()
    expect(page.get_by_text("There!")).to_have_count(20)
    for child in page.get_by_text("There!").all():
        expect(child).to_be_visible()
    expect(page.locator("job-log li")).to_have_count(10)
    assert asked.most_open == 1
    assert [path for path in asked.paths if not path.endswith("/log")] == ["/jobs/events"]
