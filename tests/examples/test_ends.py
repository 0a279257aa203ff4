"""Examples of what comes later, is tried again, or goes on after a crash."""

from __future__ import annotations

import mailbox
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import requests

from support import processes
from support.examples import Run, everywhere, finished
from support.servers import Servers
from support.waiting import until

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
    server = run("resume.py", FLASK_ROWS="60", FLASK_ROUNDS="200000")
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
