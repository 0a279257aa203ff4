"""Each example is run as its reader runs it, and goes through its story."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page

from support.servers import Served, Servers
from support.waiting import until

EXAMPLES = Path(__file__).parents[1] / "examples"
Run = Callable[[str], Served]


@pytest.fixture
def run(serve: Servers, tmp_path: Path) -> Run:
    """Start an example as its first lines say, from a copy whose jobs end with the test."""

    def run(name: str) -> Served:
        folder = tmp_path / "examples"
        folder.mkdir()
        shutil.copy(EXAMPLES / name, folder)
        return serve.run(tmp_path, f"examples/{name}").ready()

    return run


def test_every_example_is_listed_and_tested() -> None:
    names = [path.name for path in sorted(EXAMPLES.glob("*.py"))]
    listed = (EXAMPLES / "README.md").read_text()
    tests = Path(__file__).read_text()
    assert names == [
        "call_async.py",
        "progress_page.py",
        "quick_or_long.py",
        "status_monitoring.py",
    ]
    assert [name for name in names if f"python examples/{name}" not in listed] == []
    assert [name for name in names if f'run("{name}")' not in tests] == []


def test_a_status_is_asked_until_it_is_done(run: Run) -> None:
    server = run("status_monitoring.py")
    started = requests.post(f"{server.url}/primes/600000")
    assert started.status_code == 202
    status = f"{server.url}/status/{started.json()['id']}"
    asked = []

    def ask() -> dict[str, object]:
        asked.append(requests.get(status).json())
        return asked[-1]

    running = until(lambda: ask()["state"] == "running" and asked[-1])
    assert running["done"] is False
    assert running["result"] is None
    until(lambda: ask()["done"], 30)
    assert asked[-1] == {"state": "succeeded", "done": True, "fraction": 1.0, "result": 49_098}
    assert requests.get(status).json() == asked[-1]
    job = requests.get(server.url + started.headers["Location"])
    assert job.json()["result"] == 49_098
    assert "Retry-After" not in job.headers
    assert requests.get(f"{server.url}/status/unknown").status_code == 404


def test_a_view_answers_at_once_and_the_work_follows(run: Run) -> None:
    server = run("call_async.py")
    ordered = requests.post(f"{server.url}/stamps", data={"text": "hello"})
    assert ordered.status_code == 202
    assert ordered.json()["message"] == "Your stamp is being made."
    assert ordered.elapsed.total_seconds() < 1
    stamp = server.url + ordered.json()["stamp"]
    made = until(lambda: (answer := requests.get(stamp)).ok and answer.json()["stamp"], 60)
    assert made.startswith("hello:")
    assert hashlib.sha256(made.encode()).hexdigest().startswith("00000")
    assert requests.get(f"{server.url}/stamps/unknown").status_code == 404


def test_an_example_runs_its_jobs_in_a_process_beside_the_web_process(run: Run) -> None:
    server = run("quick_or_long.py")
    requests.post(f"{server.url}/factors/2")
    until(lambda: len(server.pids()) == 2)
    assert "BACKBURNER_APP" not in server.output()


def test_quick_work_is_answered_directly_and_long_work_goes_on(run: Run) -> None:
    server = run("quick_or_long.py")
    requests.post(f"{server.url}/factors/2")  # the first one also waits for the worker's start
    quick = requests.post(f"{server.url}/factors/1001")
    assert quick.status_code == 200
    assert quick.json()["result"] == [7, 11, 13]
    long = requests.post(f"{server.url}/factors/100000980001501")
    assert long.status_code == 202
    address = server.url + long.headers["Location"]
    done = until(lambda: (job := requests.get(address).json())["done"] and job, 60)
    assert done["result"] == [10_000_019, 10_000_079]


def test_a_button_starts_a_bar_that_ends_in_the_result(run: Run, page: Page) -> None:
    server = run("progress_page.py")
    page.goto(server.url)
    page.fill("input", "500")
    with page.expect_response("**/digits") as answer:
        page.click("text=Compute")
    assert answer.value.status == 202
    assert answer.value.headers["location"].startswith("/jobs/")
    until(lambda: states(page) == ["succeeded"])
    assert page.locator("progress").evaluate("bar => bar.value / bar.max") == 1
    assert "100%" in page.inner_text("job-progress")
    assert "31415926535897932384626433832795" in page.inner_text("job-progress")


def test_a_button_starts_a_bar_that_says_why_it_failed(run: Run, page: Page) -> None:
    server = run("progress_page.py")
    page.goto(server.url)
    page.fill("input", "0")
    page.click("text=Compute")
    until(lambda: states(page) == ["failed"])
    assert "0 digits cannot be had; ask for 1 to 20,000." in page.inner_text("[role=alert]")


def test_a_bar_can_be_cancelled(run: Run, page: Page) -> None:
    server = run("progress_page.py")
    page.goto(server.url)
    page.fill("input", "20000")
    page.click("text=Compute")
    until(lambda: states(page) == ["running"])
    page.click("text=Cancel")
    until(lambda: states(page) == ["cancelled"])
    assert "Cancelled" in page.inner_text("job-progress")


def states(page: Page) -> list[str | None]:
    bars = page.locator("job-progress").all()
    return [bar.get_attribute("data-state") for bar in bars]
