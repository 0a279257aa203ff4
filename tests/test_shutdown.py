"""Signals to the processes of workers: whenever they come, nothing is lost or taken for a crash."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from apps.workshop import FOLDER, add, ended, hold, mark, opened, tasks

from flask_backburner.ids import new_id
from flask_backburner.installation import Installation
from flask_backburner.store.new_job import NewJob
from support import processes
from support.journal import Journal
from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

SECONDS = 60.0
STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
ALL = [*STOPS, signal.SIGHUP]
SERVING = "Serving all queues"
STOPPING = "No more jobs are claimed; 1 still run"

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Servers) -> Iterator[Installation]:
    monkeypatch.setenv(FOLDER, str(tmp_path / "shop"))
    with opened() as installation:
        yield installation


@pytest.fixture
def start_worker(shop: Installation, serve: Servers, tmp_path: Path) -> Callable[..., Served]:
    """``flask jobs worker`` in a process of its own, which listens by now."""

    def start(*args: str) -> Served:
        worker = serve.worker(tmp_path, "apps.workshop:app", *args)
        says(worker, SERVING)
        return worker

    return start


def says(served: Served, words: str, times: int = 1) -> None:
    until(lambda: served.output().count(words) >= times, SECONDS, served.output)


# What runs


@pytest.mark.parametrize("number", STOPS)
def test_an_idle_worker_ends_cleanly(
    start_worker: Callable[..., Served], number: signal.Signals
) -> None:
    worker = start_worker()
    worker.terminate(number)
    assert worker.wait(SECONDS) == 0
    assert "Traceback" not in worker.output()


@pytest.mark.parametrize("number", STOPS)
def test_the_second_signal_hands_back_at_once_what_the_first_let_run(
    start_worker: Callable[..., Served], latch: Latch, journal: Journal, number: signal.Signals
) -> None:
    worker = start_worker("--grace", "600")
    job = hold.delay()
    latch.arrived(1)
    for _ in range(2):
        worker.terminate(number)
        until(lambda: STOPPING in worker.output() or not worker.running(), SECONDS)
    assert worker.wait(SECONDS) == 1
    assert (job.refresh().state, job.attempt, job.record.crashes) == ("queued", 1, 0)


def test_hup_lets_all_end_that_runs_and_starts_the_same_command_again(
    start_worker: Callable[..., Served], latch: Latch, journal: Journal
) -> None:
    worker = start_worker("--grace", "0")
    running = hold.delay()
    latch.arrived(1)
    worker.terminate(signal.SIGHUP)
    says(worker, "No more jobs are claimed; 1 still run, until they end")
    waiting = mark.delay()
    latch.open()
    assert ended(waiting, SECONDS).result == worker.pid
    assert (running.refresh().state, running.attempt) == ("succeeded", 1)
    assert worker.output().count(SERVING) == 2


def test_hup_twice_starts_it_again_once(
    start_worker: Callable[..., Served], latch: Latch, journal: Journal
) -> None:
    worker = start_worker()
    running = hold.delay()
    latch.arrived(1)
    for _ in range(2):
        worker.terminate(signal.SIGHUP)
        says(worker, STOPPING)
    latch.open()
    assert ended(running, SECONDS).attempt == 1
    says(worker, SERVING, 2)
    worker.terminate()
    assert worker.wait(SECONDS) == 0
    assert worker.output().count(SERVING) == 2


def test_a_stop_after_hup_is_a_stop(
    start_worker: Callable[..., Served], latch: Latch, journal: Journal
) -> None:
    worker = start_worker("--grace", "0")
    job = hold.delay()
    latch.arrived(1)
    worker.terminate(signal.SIGHUP)
    says(worker, STOPPING)
    worker.terminate()
    assert worker.wait(SECONDS) == 1
    assert worker.output().count(SERVING) == 1
    assert (job.refresh().state, job.record.crashes) == ("queued", 0)


def test_a_worker_that_was_started_by_nohup_outlives_its_terminal(
    start_worker: Callable[..., Served], serve: Servers, tmp_path: Path, journal: Journal
) -> None:
    program = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, '-m', 'flask', *sys.argv[1:]])"
    )
    worker = serve.run(tmp_path, "-c", program, "--app", "apps.workshop:app", "jobs", "worker")
    says(worker, SERVING)
    worker.terminate(signal.SIGHUP)
    assert ended(mark.delay(), SECONDS).result == worker.pid
    assert worker.output().count(SERVING) == 1


def test_a_process_job_that_stops_for_nobody_is_in_line_again_only_when_its_process_has_ended(
    shop: Installation, serve: Servers, tmp_path: Path, latch: Latch, journal: Journal
) -> None:
    (tmp_path / "deaf.py").write_text(
        "import threading\n"
        "from apps.workshop import create_app, tasks\n"
        "from flask_backburner import current_job\n"
        "from support.journal import note\n"
        "from support.latch import pass_latch\n"
        "@tasks.task(name='deaf', process=True)\n"
        "def deaf() -> None:\n"
        "    note('start', current_job.id)\n"
        "    while True:\n"
        "        try:\n"
        "            pass_latch()\n"
        "            threading.Event().wait()\n"
        "        except BaseException:\n"
        "            pass\n"
        "app = create_app()\n"
    )
    shop.store.add([NewJob(new_id(), "deaf", b"{}")], 1)
    (job,) = tasks.jobs()
    worker = serve.worker(tmp_path, "deaf:app", "--grace", "0")
    latch.arrived(1, SECONDS)
    worker.terminate()
    until(lambda: job.refresh().state == "queued", SECONDS)
    (pid,) = journal.pids(job.id)
    assert not processes.alive(pid)
    assert worker.wait(SECONDS) == 1
    assert job.record.crashes == 0


def test_many_workers_stopped_while_they_claim_lose_nothing(
    start_worker: Callable[..., Served], shop: Installation
) -> None:
    jobs = add.map([(number, 1) for number in range(2000)])
    for stop in range(5):
        worker = start_worker("--threads", "2")
        worker.terminate(ALL[stop % 3])
        assert worker.wait(SECONDS) == 0
    start_worker("--burst").wait(SECONDS)
    assert shop.store.counters() == {("default", "succeeded"): 2000}
    assert {(job.refresh().attempt, job.record.crashes) for job in jobs} == {(1, 0)}


# While the app is imported


@pytest.fixture
def slow_app(tmp_path: Path) -> str:
    """An app whose import waits at the latch."""
    (tmp_path / "slow.py").write_text(
        "from support.latch import pass_latch\n"
        "try:\n"
        "    pass_latch()\n"
        "except BaseException as error:\n"
        "    print('the import was interrupted by', repr(error))\n"
        "from apps.workshop import create_app\n"
        "app = create_app()\n"
    )
    return "slow:app"


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_during_the_import_of_the_app_ends_the_worker_at_once(
    shop: Installation,
    serve: Servers,
    tmp_path: Path,
    latch: Latch,
    slow_app: str,
    number: signal.Signals,
) -> None:
    job = add.delay(1, 1)
    worker = serve.worker(tmp_path, slow_app)
    latch.arrived(1, SECONDS)
    worker.terminate(number)
    assert worker.wait(SECONDS) == 0
    assert worker.output() == ""
    assert (job.refresh().state, job.attempt) == ("queued", 0)


def test_hup_during_the_import_of_the_app_begins_it_anew(
    shop: Installation, serve: Servers, tmp_path: Path, latch: Latch, slow_app: str
) -> None:
    job = add.delay(1, 1)
    worker = serve.worker(tmp_path, slow_app, "--burst")
    latch.arrived(1, SECONDS)
    worker.terminate(signal.SIGHUP)
    latch.arrived(2, SECONDS)
    latch.open()
    assert worker.wait(SECONDS) == 0
    assert job.refresh().state == "succeeded"


# As the first process of a container


@pytest.fixture
def start_first(shop: Installation, serve: Servers, tmp_path: Path) -> Callable[..., int]:
    """``flask jobs worker`` as process 1 of a namespace of its own; its number outside."""

    def start(app: str, *args: str) -> int:
        command = [*NAMESPACE, sys.executable, "-m", "flask", "--app", app, "jobs", "worker", *args]
        program = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
        unshare = serve.run(tmp_path, "-c", program, *command)
        (pid,) = until(lambda: _workers(unshare), SECONDS, unshare.output)
        return pid

    return start


def _workers(unshare: Served) -> list[int]:
    return [
        pid
        for pid in processes.descendants(unshare.pid)
        if "jobs worker" in processes.command(pid) and "unshare" not in processes.command(pid)
    ]


@pytest.mark.parametrize("number", STOPS)
def test_as_the_first_process_of_a_container_it_ends_cleanly_too(
    start_first: Callable[..., int],
    serve: Servers,
    latch: Latch,
    journal: Journal,
    number: signal.Signals,
) -> None:
    """The kernel gives such a process no signals but those that it has asked for."""
    job = hold.delay()
    pid = start_first("apps.workshop:app")
    latch.arrived(1, SECONDS)
    (unshare,) = serve.started
    processes.kill(pid, number)
    if number != signal.SIGQUIT:
        says(unshare, STOPPING)
        processes.kill(pid, number)
    assert unshare.wait(SECONDS) == 1
    assert (job.refresh().state, job.attempt, job.record.crashes) == ("queued", 1, 0)


def test_as_the_first_process_it_starts_itself_again(
    start_first: Callable[..., int], serve: Servers, journal: Journal
) -> None:
    pid = start_first("apps.workshop:app")
    (unshare,) = serve.started
    says(unshare, SERVING)
    processes.kill(pid, signal.SIGHUP)
    says(unshare, SERVING, 2)
    assert ended(mark.delay(), SECONDS).result == 1
    processes.kill(pid, signal.SIGTERM)
    assert unshare.wait(SECONDS) == 0


def test_as_the_first_process_it_ends_during_the_import_of_the_app(
    start_first: Callable[..., int], serve: Servers, latch: Latch, slow_app: str
) -> None:
    pid = start_first(slow_app)
    latch.arrived(1, SECONDS)
    processes.kill(pid, signal.SIGTERM)
    assert serve.started[0].wait(SECONDS) == 0


# Embedded


@pytest.mark.parametrize("number", ALL)
def test_an_embedded_worker_that_is_told_to_stop_hands_over_to_another(
    shop: Installation,
    serve: Servers,
    tmp_path: Path,
    latch: Latch,
    journal: Journal,
    number: signal.Signals,
) -> None:
    env = {"FLASK_BACKBURNER_GRACE": "0.1"}
    served = serve.flask_run(tmp_path, "apps.workshop:app", env=env)
    answer = requests.post(f"{served.url}/start/hold", timeout=30)
    job = tasks.job(answer.json()["id"])
    latch.arrived(1, SECONDS)
    (child,) = journal.pids(job.id)
    processes.kill(child, number)
    latch.arrived(2, SECONDS)
    latch.open()
    assert ended(job, SECONDS).attempt == 2
    assert job.record.crashes == 0
    assert not processes.alive(child)


def test_a_job_that_needs_a_thread_while_its_process_ends_goes_on_elsewhere(
    shop: Installation, serve: Servers, tmp_path: Path
) -> None:
    """Python starts no threads any more then; that is no failure of the job."""
    (tmp_path / "short.py").write_text(
        "import threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from apps.workshop import create_app, tasks\n"
        "from support.waiting import until\n"
        "app = create_app(TESTING=True)\n"
        "begun = threading.Event()\n"
        "@tasks.task(name='late')\n"
        "def late():\n"
        "    begun.set()\n"
        "    until(lambda: not threading.main_thread().is_alive(), 60)\n"
        "    until(lambda: ThreadPoolExecutor().submit(print, 'no').result(), 60)\n"
        "with app.app_context():\n"
        "    job = late.delay()\n"
        "    app.test_client().get('/')\n"
        "    assert begun.wait(60)\n"
    )
    served = serve.run(tmp_path, "short.py")
    assert served.wait(SECONDS) == 0, served.output()
    (job,) = tasks.jobs()
    assert (job.state, job.attempt, job.record.crashes) == ("queued", 1, 0)


def test_the_namespace_of_the_tests_is_one(tmp_path: Path) -> None:
    """Or the tests of the first process would show nothing."""
    command = [*NAMESPACE, sys.executable, "-c", "import os; print(os.getpid())"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"
