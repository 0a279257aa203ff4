"""The embedded worker: found and started by a web process, and never outliving it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from apps.workshop import FOLDER, add, ended, opened, tasks

from flask_backburner.engine.local.address import Address
from flask_backburner.engine.local.owner import Owner
from flask_backburner.errors import StoreError
from flask_backburner.installation import Installation
from flask_backburner.store.base import Store
from support import processes
from support.journal import Journal
from support.latch import Latch
from support.servers import Served, Servers, free_port
from support.waiting import until

SCRIPT = """\
import os
from apps.workshop import create_app

app = create_app()
"""
GUARD = "if __name__ == '__main__':\n    "
RUN = "app.run(port=int(os.environ['PORT']))\n"
SECONDS = 60.0  # what takes two gets a minute before a test fails


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Servers) -> Iterator[Installation]:
    monkeypatch.setenv(FOLDER, str(tmp_path / "shop"))
    with opened() as installation:
        yield installation


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the app's own files are."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def start(served: Served, task: str, **arguments: object) -> str:
    """Start a job by a request; its id."""
    answer = requests.post(f"{served.url}/start/{task}", json=arguments, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ran_in(served: Served, task: str = "mark") -> int:
    """Start a job by a request and wait for its end: the process that ran it."""
    job = tasks.job(start(served, task))
    until(lambda: job.refresh().done, SECONDS, lambda: f"the end of {job}\n{served.output()}")
    return int(job.result)


def children(served: Served) -> list[int]:
    """The embedded workers among a server's processes."""
    return [pid for pid in served.pids() if "engine.local.child" in processes.command(pid)]


# How the app is found


@pytest.mark.parametrize("args", [["--app", "shop:app"], ["--app", "shop:create_app()"], []])
def test_under_flask_run_the_app_is_the_commands(
    shop: Installation, serve: Servers, place: Path, journal: Journal, args: list[str]
) -> None:
    (place / ("shop.py" if args else "app.py")).write_text(SCRIPT)
    served = flask_run(serve, place, *args)
    assert ran_in(served) in children(served)


def flask_run(
    serve: Servers, place: Path, *args: str, debug: bool = False, env: dict[str, str] | None = None
) -> Served:
    port = free_port()
    options = ["--debug"] if debug else []
    served = serve.run(place, "-m", "flask", *args, *options, "run", "--port", str(port), env=env)
    served.port, served.url = port, f"http://127.0.0.1:{port}"
    return served.ready()


def test_under_flask_run_the_app_is_in_flask_app(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    (place / "shop.py").write_text(SCRIPT)
    served = flask_run(serve, place, env={"FLASK_APP": "shop"})
    assert ran_in(served) in children(served)


def test_under_flask_run_wsgi_py_is_found_first(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    (place / "wsgi.py").write_text(SCRIPT)
    (place / "app.py").write_text("raise RuntimeError('not this one')")
    served = flask_run(serve, place)
    assert ran_in(served) in children(served)


@pytest.mark.parametrize("guard", ["", GUARD])
def test_a_script_is_found_by_its_file(
    shop: Installation, serve: Servers, place: Path, journal: Journal, guard: str
) -> None:
    (place / "my_script.py").write_text(SCRIPT + guard + RUN)
    served = serve.python(place / "my_script.py")
    assert ran_in(served) in children(served)


def test_a_scripts_own_tasks_are_known_to_its_child_even_inside_a_package(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    (place / "__init__.py").touch()
    own = "from apps.workshop import mark, tasks\n@tasks.task\ndef own():\n    return mark()\n"
    (place / "shop.py").write_text(
        own
        + SCRIPT
        + "app.post('/own')(lambda: own.delay())\nif __name__ == '__main__':\n    "
        + RUN
    )
    served = serve.python(place / "shop.py")
    answer = requests.post(f"{served.url}/own", timeout=60).json()
    assert answer["task"] == "shop:own"
    assert ended(tasks.job(answer["id"])).state == "succeeded"


def test_an_app_made_inside_the_guard_runs_its_jobs_in_threads_with_a_warning(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    script = SCRIPT.replace("app = create_app()", "")
    (place / "guarded.py").write_text(script + GUARD + "app = create_app()\n    " + RUN)
    served = serve.python(place / "guarded.py")
    assert ran_in(served) == served.pid
    assert "cannot load the app 'guarded:app'" in served.output()
    assert (
        "Jobs run in threads of this web process, which slow it down, because its child process "
        "could not load the app as 'guarded:app' (see above). Set BACKBURNER_APP to the app's "
        "import string, such as 'shop:app' or 'shop:create_app()', or BACKBURNER_WORKER to "
        "'threads' or 'external'." in served.output()
    )


APART = """\
import os
from apps.workshop import create_app, tasks


@tasks.task(process=True)
def apart():
    pass


if __name__ == "__main__":
    app = create_app()
    app.add_url_rule("/apart", "apart", lambda: apart.delay())
    """


def test_process_jobs_are_refused_once_the_app_could_not_be_loaded(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    (place / "guarded.py").write_text(APART + RUN)
    served = serve.python(place / "guarded.py")
    assert ran_in(served) == served.pid
    assert requests.get(f"{served.url}/apart", timeout=60).status_code == 500
    assert "the app could not be loaded as 'guarded:app' by another process" in served.output()


def test_an_app_that_no_name_leads_to_runs_its_jobs_in_threads_with_a_warning(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    script = SCRIPT.replace("app = create_app()", "")
    (place / "hidden.py").write_text(
        script + "def main():\n    app = create_app()\n    " + RUN + "main()"
    )
    served = serve.python(place / "hidden.py")
    assert ran_in(served) == served.pid
    assert "because the app's import string is not known. Set BACKBURNER_APP" in served.output()


def test_with_worker_process_an_app_that_cannot_be_loaded_runs_no_jobs_and_says_so(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    (place / "app.py").write_text(SCRIPT)
    env = {"FLASK_BACKBURNER_WORKER": "process", "FLASK_BACKBURNER_APP": "nowhere:app"}
    served = flask_run(serve, place, env=env)
    job = tasks.job(start(served, "mark"))
    until(lambda: "No jobs are run" in served.output(), SECONDS, served.output)
    assert "The embedded worker cannot load the app 'nowhere:app'" in served.output()
    assert "No jobs are run, because its child process could not load the app" in served.output()
    assert children(served) == []
    assert job.refresh().state == "queued"


def test_a_child_that_finds_another_store_is_refused(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    (place / "app.py").write_text(SCRIPT)
    (place / "other.py").write_text(
        "from apps.workshop import create_app\napp = create_app(BACKBURNER_NAME='another')\n"
    )
    served = flask_run(serve, place, env={"FLASK_BACKBURNER_APP": "other:app"})
    assert ran_in(served) == served.pid
    assert "and the name 'another', but the process that started it has" in served.output()


# What starts nothing


@pytest.mark.parametrize("command", [["routes"], ["shell"]])
def test_other_commands_start_nothing(
    shop: Installation, serve: Servers, place: Path, command: list[str]
) -> None:
    (place / "app.py").write_text(SCRIPT)
    add.delay(1, 1)
    served = serve.run(place, "-m", "flask", *command)
    assert served.wait() == 0, served.output()
    assert served.pids() == []
    assert shop.store.counters() == {("default", "queued"): 1}


def test_an_import_starts_nothing_and_opens_nothing(
    serve: Servers, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "shop"))
    (place / "app.py").write_text(SCRIPT)
    count = (
        "import app, threading, os; print(threading.active_count(), os.listdir('/proc/self/fd'))"
    )
    served = serve.run(place, "-W", "error", "-c", count)
    assert served.wait() == 0
    assert served.output().startswith("1 ['0', '1', '2', '3']")
    assert not (tmp_path / "shop").exists()


def test_while_testing_jobs_run_in_threads_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: Journal
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with opened(BACKBURNER_WORKER="auto", TESTING=True) as installation:
        answer = installation.app.test_client().post("/start/mark")
        assert ended(tasks.job(answer.json["id"])).result == os.getpid()


def test_many_first_requests_at_once_start_one_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with opened(BACKBURNER_WORKER="auto", TESTING=True) as installation:
        starts = [threading.Thread(target=installation.engine.start) for _ in range(16)]
        for thread in starts:
            thread.start()
        for thread in starts:
            thread.join()
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("backburner-worker") == 1
        for _ in range(2):
            installation.close()
        assert [name for name in names if name in _backburner_threads()] == []
        installation.engine.start()
        assert ended(add.delay(1, 1)).state == "succeeded"


def _backburner_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("backburner")]


def test_threads_hand_their_jobs_back_when_their_process_ends(
    shop: Installation, serve: Servers, place: Path, latch: Latch, journal: Journal
) -> None:
    (place / "short.py").write_text(
        "from apps.workshop import create_app, hold\n"
        "from support.waiting import until\n"
        "app = create_app(TESTING=True, BACKBURNER_GRACE=0.1)\n"
        "with app.app_context():\n"
        "    job = hold.delay()\n"
        "    app.test_client().get('/')\n"
        "    until(lambda: job.refresh().state == 'running')\n"
    )
    served = serve.run(place, "short.py")
    assert served.wait() == 0
    (job,) = tasks.jobs()
    assert (job.state, job.record.crashes) == ("queued", 0)


# Its life


def test_the_reloaders_parent_starts_nothing_and_a_reload_hands_over(
    shop: Installation, serve: Servers, place: Path, latch: Latch, journal: Journal
) -> None:
    (place / "app.py").write_text(SCRIPT)
    served = flask_run(serve, place, debug=True, env={"FLASK_BACKBURNER_GRACE": "0.2"})
    web = int(requests.get(served.url, timeout=60).text)
    assert web != served.pid
    job = tasks.job(start(served, "hold"))
    latch.arrived(1)
    (first,) = children(served)
    os.utime(place / "app.py")
    until(lambda: not processes.alive(web), SECONDS, "the reload")
    served.ready(Served.refuses_nonsense)
    assert int(requests.get(served.url, timeout=60).text) != web
    latch.arrived(2, SECONDS)
    latch.open()
    assert ended(job).result != first
    assert (job.attempt, job.record.crashes) == (2, 0)


def test_a_killed_child_is_started_again_and_its_job_is_recorded_once(
    shop: Installation, serve: Servers, place: Path, latch: Latch, journal: Journal
) -> None:
    (place / "app.py").write_text(SCRIPT)
    served = flask_run(serve, place)
    job = tasks.job(start(served, "hold"))
    latch.arrived(1)
    (child,) = children(served)
    served.kill9(child)
    latch.arrived(2, SECONDS)
    latch.open()
    assert ended(job).result in children(served)
    assert (job.attempt, job.record.crashes) == (2, 1)
    assert [entry.event for entry in journal.entries()] == ["start", "start", "end"]
    assert "The embedded worker ended with status -9" in served.output()


def test_after_the_grace_the_child_of_a_killed_web_process_hands_back_and_ends(
    shop: Installation, serve: Servers, place: Path, latch: Latch, journal: Journal
) -> None:
    (place / "app.py").write_text(SCRIPT)
    served = flask_run(serve, place, env={"FLASK_BACKBURNER_GRACE": "0.3"})
    job = tasks.job(start(served, "hold"))
    latch.arrived(1)
    (child,) = children(served)
    served.kill9()
    until(lambda: not processes.alive(child), SECONDS, "the child's end")
    assert (job.refresh().state, job.attempt, job.record.crashes) == ("queued", 1, 0)


def test_within_the_grace_its_running_job_ends_and_the_port_is_free_meanwhile(
    shop: Installation, serve: Servers, place: Path, latch: Latch, journal: Journal
) -> None:
    (place / "app.py").write_text(SCRIPT)
    served = flask_run(serve, place)
    job = tasks.job(start(served, "hold"))
    latch.arrived(1)
    (child,) = children(served)
    served.kill9()
    until(lambda: "No more jobs are claimed; 1 still run" in served.output(), SECONDS)
    until(lambda: not served.answers(), SECONDS, "a free port")
    assert processes.alive(child)
    latch.open()
    until(lambda: not processes.alive(child), SECONDS, "the child's end")
    assert (job.refresh().state, job.attempt) == ("succeeded", 1)


@pytest.mark.parametrize(
    "fork",
    [
        "os.fork() or pass_latch('forked')",
        "multiprocessing.get_context('fork').Process(target=pass_latch, args=('forked',)).start()",
    ],
)
def test_what_a_web_process_forks_does_not_keep_its_child_alive(
    shop: Installation,
    serve: Servers,
    place: Path,
    make_latch: Callable[[str], Latch],
    journal: Journal,
    fork: str,
) -> None:
    forked = make_latch("forked")
    (place / "app.py").write_text(
        "import multiprocessing\nfrom support.latch import pass_latch\n"
        + SCRIPT
        + f"@app.post('/fork')\ndef fork():\n    {fork}\n    return 'forked'\n"
    )
    served = flask_run(serve, place)
    ran_in(served)
    (child,) = children(served)
    assert requests.post(f"{served.url}/fork", timeout=60).text == "forked"
    forked.arrived(1)
    served.kill9()
    until(lambda: not processes.alive(child), SECONDS, "the child's end")
    assert len(served.pids()) == 1
    forked.open()


def test_jobs_find_no_pipe_as_their_standard_input(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    (place / "app.py").write_text(
        "import sys\nfrom apps.workshop import tasks\n"
        "@tasks.task(name='read')\ndef read() -> str:\n    return sys.stdin.read() + 'all'\n"
        + SCRIPT
        + "app.post('/read')(lambda: read.delay())\n"
    )
    served = flask_run(serve, place)
    id = requests.post(f"{served.url}/read", timeout=60).json()["id"]
    until(lambda: tasks.job(id).done, SECONDS, served.output)
    assert tasks.job(id).document()["result"] == "all"


def test_close_ends_the_child_and_the_next_request_starts_another(
    shop: Installation, serve: Servers, place: Path, journal: Journal
) -> None:
    (place / "app.py").write_text(
        SCRIPT
        + "from apps.workshop import tasks\napp.post('/close')(lambda: tasks.close() or 'ok')\n"
    )
    served = flask_run(serve, place)
    first = ran_in(served)
    assert requests.post(f"{served.url}/close", timeout=60).text == "ok"
    assert not processes.alive(first)
    assert ran_in(served) != first


# Trouble


class Storeless:
    """What an owner asks for a store, in vain."""

    def __init__(self) -> None:
        self.asked = 0

    @property
    def store(self) -> Store:
        self.asked += 1
        raise StoreError("The job store is away.")


def test_an_owner_says_once_what_it_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    storeless: Any = Storeless()
    owner = Owner(storeless, Address("shop:app", told=True), lambda: None)
    owner.start()
    until(lambda: storeless.asked >= 3)
    owner.stop(10.0)
    assert [record.message for record in caplog.records] == [
        "The embedded worker waits for its store: The job store is away."
    ]
