"""Each example is run as its reader runs it, and goes through its story."""

from __future__ import annotations

import hashlib
import mailbox
import re
import shutil
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import requests
from playwright.sync_api import Page

from support import processes
from support.engines import EVERY, Engine
from support.servers import Served, Servers
from support.waiting import until

EXAMPLES = Path(__file__).parents[1] / "examples"
Run = Callable[..., Served]
everywhere = pytest.mark.parametrize("engine_kind", EVERY, indirect=True)


@pytest.fixture
def begin(serve: Servers, engine: Engine, tmp_path: Path) -> Run:
    """Start an example as its first lines say, from a copy whose jobs end with the test.

    With a worker of Celery's where the environment leads to one.
    """

    def begin(name: str, **env: str) -> Served:
        folder = tmp_path / "examples"
        folder.mkdir()
        shutil.copy(EXAMPLES / name, folder)
        served = serve.run(tmp_path, f"examples/{name}", env=env)
        known = {"PORT": str(served.port), **env}
        engine.worker(serve, tmp_path, f"examples/{name}", "-c", "2", env=known)
        return served

    return begin


@pytest.fixture
def run(begin: Run) -> Run:
    """Start an example that serves."""
    return lambda name, **env: begin(name, **env).ready()


def test_every_example_is_listed_and_tested() -> None:
    names = [path.name for path in sorted(EXAMPLES.glob("*.py"))]
    listed = (EXAMPLES / "README.md").read_text()
    tests = Path(__file__).read_text()
    assert names == [
        "background_view.py",
        "call_async.py",
        "celery_app.py",
        "email_later.py",
        "htmx.py",
        "many_bars.py",
        "progress_page.py",
        "quick_or_long.py",
        "resume.py",
        "retries.py",
        "status_monitoring.py",
        "submit.py",
        "thread_safe_status.py",
    ]
    assert [name for name in names if f"python examples/{name}" not in listed] == []
    assert [name for name in names if not re.search(rf'(run|begin)\("{name}"', tests)] == []


@everywhere
def test_a_status_is_asked_until_it_is_done(run: Run) -> None:
    server = run("status_monitoring.py")
    started = requests.post(f"{server.url}/primes/300000")
    assert started.status_code == 202
    status = f"{server.url}/status/{started.json()['id']}"
    asked = []

    def ask() -> dict[str, object]:
        asked.append(requests.get(status).json())
        return asked[-1]

    running = until(lambda: ask()["state"] == "running" and asked[-1])
    assert running["done"] is False
    assert running["result"] is None
    until(lambda: ask()["done"])
    assert asked[-1] == {"state": "succeeded", "done": True, "fraction": 1.0, "result": 25_997}
    assert requests.get(status).json() == asked[-1]
    job = requests.get(server.url + started.headers["Location"])
    assert job.json()["result"] == 25_997
    assert "Retry-After" not in job.headers
    assert requests.get(f"{server.url}/status/unknown").status_code == 404


@everywhere
def test_a_view_answers_at_once_and_the_work_follows(run: Run) -> None:
    server = run("call_async.py")
    ordered = requests.post(f"{server.url}/stamps", data={"text": "hello"})
    assert ordered.status_code == 202
    assert ordered.json()["message"] == "Your stamp is being made."
    assert ordered.elapsed.total_seconds() < 10
    stamp = server.url + ordered.json()["stamp"]
    made = until(lambda: (answer := requests.get(stamp)).ok and answer.json()["stamp"], 180)
    assert made.startswith("hello:")
    assert hashlib.sha256(made.encode()).hexdigest().startswith("00000")
    assert requests.get(f"{server.url}/stamps/unknown").status_code == 404


def test_an_example_runs_its_jobs_in_a_process_beside_the_web_process(run: Run) -> None:
    server = run("quick_or_long.py")
    job = requests.post(f"{server.url}/factors/2").json()
    assert finished(server.url + job["links"]["self"])["result"] == [2]
    assert len(server.pids()) == 2
    assert "BACKBURNER_APP" not in server.output()


@everywhere
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


@everywhere
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


@everywhere
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


def finished(address: str, deadline: float = 30) -> dict[str, object]:
    """Wait for a job to be done; its document."""
    return until(lambda: (job := requests.get(address).json())["done"] and job, deadline)


# Trying again


@everywhere
def test_a_service_that_is_not_there_is_asked_again(run: Run) -> None:
    server = run("retries.py")
    started = requests.post(f"{server.url}/rates/EUR")
    job = finished(server.url + started.headers["Location"], 120)
    assert (job["result"], job["attempt"], job["error"]) == (1.08, 3, None)


def test_what_will_never_work_is_not_asked_again(run: Run) -> None:
    server = run("retries.py")
    started = requests.post(f"{server.url}/rates/XYZ")
    job = finished(server.url + started.headers["Location"], 60)
    assert (job["state"], job["attempt"]) == ("failed", 1)
    assert job["error"] == {"code": "error", "message": "There is no currency XYZ"}


@everywhere
def test_an_import_goes_on_where_its_worker_was_killed(
    run: Run, serve: Servers, tmp_path: Path
) -> None:
    server = run("resume.py", FLASK_ROWS="60", FLASK_ROUNDS="400000")
    started = requests.post(f"{server.url}/imports")
    until(lambda: len(rows_below(tmp_path)) >= 10, 60)
    kill_what_runs_jobs(serve)
    job = finished(server.url + started.headers["Location"], 120)
    assert (job["state"], job["result"], job["crashes"]) == ("succeeded", 2, 1)
    rows = rows_below(tmp_path)
    assert list(dict.fromkeys(rows)) == [f"row {number}" for number in range(1, 61)]
    assert len(rows) <= 61


def kill_what_runs_jobs(serve: Servers) -> None:
    """The children of the web server, or of the worker that was started after it."""
    *_, last = serve.started
    children = processes.descendants(last.pid)
    assert children
    for child in children:
        last.kill9(child)


def rows_below(folder: Path) -> list[str]:
    """Of the file in the instance folder, which is another one for a script's worker."""
    files = folder.rglob("rows.txt")
    return [line.rpartition(" ")[0] for file in files for line in file.read_text().splitlines()]


# Submit


@everywhere
def test_an_ordinary_function_is_submitted(run: Run) -> None:
    server = run("submit.py")
    started = requests.post(f"{server.url}/chains/100000")
    assert started.status_code == 202
    job = finished(server.url + started.headers["Location"])
    assert job["result"] == {"start": 77_031, "steps": 350}


# Work done elsewhere


@everywhere
def test_statuses_come_back_from_the_threads_of_several_processes(begin: Run) -> None:
    example = begin("thread_safe_status.py")
    assert example.wait(60) == 0
    lines = example.output().splitlines()
    assert len(lines) == 14
    assert ["'state': 'succeeded'" in line for line in lines[:12]] == [True] * 12
    assert ["'result': 333332833333500000," in line for line in lines[:12]] == [True] * 12
    assert lines[12:] == ["unknown None", "0 tasks of yesterday and before forgotten"]


TELL = """
from datetime import datetime, timedelta
from thread_safe_status import *

id = create_task("squares")
print(get_task_status(id)["state"])
update_task_progress(id, 1, 4, "The first quarter")
status = get_task_status(id)
print(status["state"], status["progress"]["fraction"], status["progress"]["message"])
complete_task(id, {"rows": 4})
status = get_task_status(id)
print(status["state"], status["result"])
print(status["created_at"] <= status["updated_at"] == status["finished_at"])
print(forget_old_tasks(timedelta(hours=1)), forget_old_tasks(timedelta(0)), get_task_status(id))
"""


def test_a_task_is_created_updated_completed_and_forgotten(serve: Servers, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "thread_safe_status.py", tmp_path)
    example = serve.run(tmp_path, "-c", TELL)
    assert example.wait(30) == 0
    assert example.output().splitlines() == [
        "queued",
        "running 0.25 The first quarter",
        "succeeded {'rows': 4}",
        "True",
        "0 1 None",
    ]


# E-mail later

REMINDER = {"to": "you@example.org", "text": "Time for tea"}


@everywhere
def test_a_message_leaves_a_minute_later_unless_it_is_cancelled(run: Run) -> None:
    server = run("email_later.py")
    asked = requests.post(f"{server.url}/messages", data=REMINDER)
    assert asked.status_code == 202
    job = asked.json()
    delay = moment(job["run_at"]) - moment(job["created_at"])
    assert timedelta(seconds=59) < delay <= timedelta(minutes=1)
    assert job["state"] == "queued"
    cancelled = requests.post(server.url + job["links"]["cancel"])
    assert cancelled.json()["state"] == "cancelled"
    assert requests.post(f"{server.url}/messages", data={"to": "nobody"}).status_code == 400


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_message_that_leaves_is_in_the_maildir(run: Run, tmp_path: Path) -> None:
    server = run("email_later.py", FLASK_DELAY="0")
    asked = requests.post(f"{server.url}/messages", data=REMINDER)
    finished(server.url + asked.headers["Location"])
    (message,) = mailbox.Maildir(tmp_path / "instance" / "mail")
    assert message["To"] == "you@example.org"
    assert message.get_payload() == "Time for tea\n"


class Mailman(socketserver.StreamRequestHandler):
    """Takes one message by SMTP."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline().strip():
            match line[:4].upper():
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    self.server.messages.append(b"".join(iter(self.rfile.readline, b".\r\n")))  # type: ignore[attr-defined]  # the test's own list
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
            self.wfile.write(b"250 fine\r\n")


@contextmanager
def post_office() -> Iterator[tuple[int, list[bytes]]]:
    """Serve SMTP; the port, and the messages that came."""
    with socketserver.TCPServer(("127.0.0.1", 0), Mailman) as server:
        server.messages = []  # type: ignore[attr-defined]  # the test's own list
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], server.messages  # type: ignore[attr-defined]  # the test's own list
        finally:
            server.shutdown()
            thread.join()


@everywhere
def test_a_message_goes_to_the_mail_server_if_there_is_one(run: Run) -> None:
    with post_office() as (port, messages):
        env = {"FLASK_DELAY": "0", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port)}
        server = run("email_later.py", **env)
        asked = requests.post(f"{server.url}/messages", data=REMINDER)
        job = finished(server.url + asked.headers["Location"])
    assert job["result"] == "sent by 127.0.0.1"
    assert [b"\r\n\r\nTime for tea\r\n" in message for message in messages] == [True]


# Pages


@everywhere
def test_a_slow_view_shows_progress_and_then_its_own_page(
    run: Run, page: Page, tmp_path: Path
) -> None:
    server = run("background_view.py")
    visited: list[str] = []
    page.on("framenavigated", lambda frame: visited.append(frame.url.removeprefix(server.url)))
    compare(page, server, old="one two three", new="one three")
    until(lambda: "1 edits make 2 words of 3." in page.inner_text("main"))

    del visited[:]  # the first one also waited for the worker's start
    compare(page, server, old="one two three", new="one two")
    assert "1 edits make 2 words of 3." in page.inner_text("main")
    assert visited == ["/", "/compare"]

    chance = Random(1)
    for name in "old", "new":
        words = " ".join(chance.choice("abcdefgh") for _ in range(2000))
        (tmp_path / name).write_text(words)
    del visited[:]
    compare(page, server, old_file=tmp_path / "old", new_file=tmp_path / "new")
    until(lambda: "edits make 2000 words of 2000." in page.inner_text("main"), 60)
    assert [re.sub("[0-9A-Za-z]{22}", "<id>", path) for path in visited] == [
        "/",
        "/jobs/<id>",
        "/jobs/<id>/result",
    ]


def compare(page: Page, server: Served, **fields: str | Path) -> None:
    page.goto(server.url)
    for name, value in fields.items():
        field = page.locator(f"[name={name}]")
        field.set_input_files(value) if isinstance(value, Path) else field.fill(value)
    with page.expect_navigation():
        page.click("button")


@everywhere
def test_an_app_written_for_celery_keeps_its_own_bar(run: Run, page: Page) -> None:
    server = run("celery_app.py")
    page.goto(server.url)
    assert page.inner_text("[role=status]") == "Not started"
    page.click("text=Start")
    until(lambda: "Step" in page.inner_text("[role=status]"), 60)
    until(lambda: page.inner_text("[role=status]") == "All steps are done", 60)
    assert page.locator("progress").evaluate("bar => bar.value / bar.max") == 1


@everywhere
def test_twenty_bars_share_a_connection(run: Run, page: Page) -> None:
    server = run("many_bars.py")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(server.url)))
    page.goto(server.url)
    page.click("text=Start twenty jobs")
    until(lambda: states(page) == ["succeeded"] * 20, 60)
    assert "From 570,000 on" in page.inner_text("main")
    streams = [path for path in asked if path.startswith("/jobs/events?ids=")]
    others = {path.partition("?")[0] for path in asked if path not in streams}
    assert streams != []
    assert others - {"/favicon.ico"} == {
        "/",
        "/start",
        "/jobs/static/backburner.css",
        "/jobs/static/backburner.js",
    }


@everywhere
def test_a_fragment_is_replaced_until_its_job_is_done(run: Run, page: Page) -> None:
    server = run("htmx.py")
    answers: list[int] = []
    page.on(
        "response",
        lambda answer: answers.append(answer.status) if "/fragment" in answer.url else None,
    )
    page.goto(server.url)
    page.click("button")
    until(lambda: "6, 28, 496, 8128" in page.inner_text("#job"), 60)
    assert answers[-1] == 286
    assert set(answers[:-1]) == {200}
    assert page.locator("[hx-get]").count() == 0
