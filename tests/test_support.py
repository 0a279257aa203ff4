"""The ground that the other tests stand on: skips, leaks, waiting, servers, the browser."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page

from support import processes, skips
from support.browsing import PageErrors
from support.journal import Journal, note
from support.latch import Latch, pass_latch
from support.leaks import Snapshot
from support.servers import Servers
from support.waiting import until

ROOT = Path(__file__).resolve().parents[1]

HELLO = """
    import os

    from flask import Flask

    app = Flask(__name__)

    @app.get("/")
    def hello():
        print("asked")
        return str(os.getpid())

    if __name__ == "__main__":
        app.run(port=int(os.environ["PORT"]))
"""


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """A folder with a small Flask application."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "hello.py").write_text(textwrap.dedent(HELLO))
    return folder


# Skips


def run_pytest(folder: Path, source: str, **env: str) -> str:
    """Run a test file in a folder that uses our conftest; what pytest printed."""
    tests = folder / "tests"
    tests.mkdir(exist_ok=True)
    (tests / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tests / "test_it.py").write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "CI": "", **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


SKIPPING = """
    import pytest

    @pytest.mark.skip(reason="no browser")
    def test_it():
        pass
"""


def test_a_skip_is_only_a_skip_on_a_developers_machine(tmp_path: Path) -> None:
    assert "1 skipped" in run_pytest(tmp_path, SKIPPING)


def test_a_skip_fails_under_ci(tmp_path: Path) -> None:
    printed = run_pytest(tmp_path, SKIPPING, CI="true")
    assert "Under CI=true everything runs" in printed
    assert "no browser" in printed
    assert "skipped" not in printed.splitlines()[-1]


def test_a_skipped_module_fails_under_ci(tmp_path: Path) -> None:
    source = 'import pytest\npytest.importorskip("no_such_module")\n'
    assert "Under CI=true everything runs" in run_pytest(tmp_path, source, CI="true")


def test_a_listed_skip_is_allowed_under_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = tmp_path / "allowed.txt"
    allowed.write_text("# why\ntests/test_it.py::test_it  # needs macOS\n")
    monkeypatch.setenv("CI", "true")
    assert skips.forbid("tests/test_it.py::test_it", "x", allowed) is None
    assert skips.forbid("tests/test_it.py::test_other", "x", allowed) is not None


def test_a_listed_skip_needs_a_reason(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed.txt"
    allowed.write_text("tests/test_it.py::test_it\n")
    with pytest.raises(ValueError, match="no reason for"):
        skips.read(allowed)


def test_the_list_of_allowed_skips_can_be_read() -> None:
    assert isinstance(skips.read(skips.ALLOWED), dict)


# Leaks


@pytest.fixture
def before() -> Snapshot:
    return Snapshot.take()


def test_a_thread_left_behind_is_seen(before: Snapshot) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="forgotten")
    thread.start()
    assert before.settle(0.0) == ["thread 'forgotten'"]
    stop.set()
    thread.join()
    assert before.settle() == []


def test_a_socket_left_behind_is_seen(before: Snapshot) -> None:
    with socket.socket():
        assert [leak.split(":")[1].strip() for leak in before.settle(0.0)] == ["socket"]


def test_an_open_database_is_seen(before: Snapshot, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "jobs.db")
    connection.execute("CREATE TABLE job (id)")
    assert any("jobs.db" in leak for leak in before.settle(0.0))
    connection.close()


def test_a_child_left_behind_is_seen(before: Snapshot) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert f"process {child.pid}" in before.settle(0.0)[0]
    child.communicate(b"\n")


def test_an_orphan_left_behind_is_seen(before: Snapshot) -> None:
    source = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=-3).pid)"
    orphan = int(subprocess.check_output([sys.executable, "-c", source]))
    try:
        assert before.settle(0.0) == [f"process {orphan}: sleep 60"]
    finally:
        processes.kill_all([orphan])


def test_a_leak_fails_the_test(tmp_path: Path) -> None:
    source = """
        import socket

        kept = []

        def test_it():
            kept.append(socket.socket())
    """
    printed = run_pytest(tmp_path, source)
    assert "the test left behind: descriptor" in printed


# Waiting, latch and journal


def test_until_gives_what_the_condition_gave() -> None:
    found = iter([None, 0, "here"])
    assert until(lambda: next(found)) == "here"


def test_until_says_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match=r"in vain for: a job \(last: 0\)"):
        until(lambda: 0, deadline=0.0, what="a job")


def test_a_latch_holds_until_it_is_stepped(latch: Latch) -> None:
    passed: list[int] = []

    def job() -> None:
        for number in range(3):
            pass_latch()
            passed.append(number)

    thread = threading.Thread(target=job)
    thread.start()
    latch.arrived(1)
    assert passed == []
    latch.step()
    latch.arrived(2)
    assert passed == [0]
    latch.open()
    thread.join()
    assert passed == [0, 1, 2]


def test_an_opened_latch_lets_everybody_through(latch: Latch) -> None:
    threads = [threading.Thread(target=pass_latch) for _ in range(8)]
    for thread in threads:
        thread.start()
    latch.arrived(8)
    latch.open()
    for thread in threads:
        thread.join()
    pass_latch()
    assert latch.arrivals == 9


def test_a_latch_holds_another_process(latch: Latch, serve: Servers, tmp_path: Path) -> None:
    job = serve.run(tmp_path, "-c", "from support.latch import pass_latch as p; p(); print('on')")
    latch.arrived(1)
    assert job.output() == ""
    latch.step()
    assert job.wait() == 0
    assert job.output() == "on\n"


def test_the_journal_tells_what_started_and_did_not_end(journal: Journal) -> None:
    assert journal.entries() == []
    note("start", "a")
    note("start", "b", 1)
    note("start", "b", 2)
    note("end", "b", 2)
    assert journal.started() == {"a", "b"}
    assert journal.ended() == {"b"}
    assert journal.unfinished() == {"a"}
    assert journal.starts("b") == 2
    assert journal.pids("a") == [os.getpid()]


# Servers


def test_gunicorn_serves_with_several_processes(hello: Path, serve: Servers) -> None:
    served = serve.gunicorn(hello, "hello:app", "--workers", "2")
    until(lambda: len(served.pids()) == 3, what="a master and two workers")
    assert int(requests.get(served.url, timeout=60).text) in served.pids()[1:]
    served.stop()
    assert served.pids() == []


def test_flask_run_serves_with_the_reloader(hello: Path, serve: Servers) -> None:
    served = serve.flask_run(hello, "hello:app", "--debug")
    answered = int(requests.get(served.url, timeout=60).text)
    assert answered != served.pid
    assert "asked" in served.output()
    served.stop()
    assert not processes.alive(answered)


def test_waitress_serves(hello: Path, serve: Servers) -> None:
    served = serve.waitress(hello, "hello:app")
    assert requests.get(served.url, timeout=60).text == str(served.pid)


def test_a_script_serves(hello: Path, serve: Servers) -> None:
    served = serve.python(hello / "hello.py")
    assert requests.get(served.url, timeout=60).text == str(served.pid)


def test_a_server_that_ends_at_once_shows_its_output(hello: Path, serve: Servers) -> None:
    with pytest.raises(AssertionError, match="No module named 'nothing'"):
        serve.gunicorn(hello, "nothing:app")


def test_a_killed_server_is_gone(hello: Path, serve: Servers) -> None:
    served = serve.waitress(hello, "hello:app")
    served.kill9()
    assert served.wait() == -signal.SIGKILL
    assert served.pids() == []


# Browser


def test_a_page_shows_what_the_server_said(page: Page, hello: Path, serve: Servers) -> None:
    served = serve.waitress(hello, "hello:app")
    page.goto(served.url)
    assert page.text_content("body") == str(served.pid)


def test_an_error_in_the_page_is_heard(page: Page, page_errors: PageErrors) -> None:
    page.set_content("<script>console.error('oh'); missing()</script>")
    heard = page_errors.unexpected()
    assert [line.split("\n")[0] for line in heard] == [
        "oh ()",
        "ReferenceError: missing is not defined",
    ]
    page_errors.allow("oh|missing")
