"""Workers that live but do nothing: their jobs go to others, and they make room for another."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from apps.workshop import FOLDER, ended, hold, opened, tasks

from flask_backburner.installation import Installation
from support import processes
from support.journal import Journal
from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

SECONDS = 60.0
SOON = {"FLASK_BACKBURNER_HANG": "5"}  # long enough for a machine that is busy


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Servers) -> Iterator[Installation]:
    monkeypatch.setenv(FOLDER, str(tmp_path / "shop"))
    with opened() as installation:
        yield installation


@pytest.fixture
def start_worker(shop: Installation, serve: Servers, tmp_path: Path) -> Callable[..., Served]:
    def start(*args: str, **env: str) -> Served:
        return serve.worker(tmp_path, "apps.workshop:app", *args, env={**SOON, **env})

    return start


def test_the_jobs_of_a_stopped_worker_go_to_another_and_its_own_results_count_no_more(
    start_worker: Callable[..., Served], latch: Latch, journal: Journal
) -> None:
    """The stopped one even has the role of the one that rescues."""
    stopped = start_worker()
    job = hold.delay()
    latch.arrived(1, SECONDS)
    stopped.terminate(signal.SIGSTOP)
    other = start_worker()
    latch.arrived(2, SECONDS)
    latch.open()
    stopped.terminate(signal.SIGCONT)
    assert ended(job, SECONDS).result == other.pid
    assert (job.attempt, job.record.crashes) == (2, 0)
    other.terminate()
    assert other.wait(SECONDS) == 0
    assert job.refresh().result == other.pid


def test_an_idle_worker_that_seldom_polls_is_not_taken_for_one_that_hangs(
    start_worker: Callable[..., Served], make_latch: Callable[[str], Latch], journal: Journal
) -> None:
    """A worker that really hangs, and began to later, is found meanwhile."""
    held, stuck = make_latch("held"), make_latch("stuck")
    start_worker("--threads", "1", FLASK_BACKBURNER_POLL="600", FLASK_BACKBURNER_HANG="3600")
    job = hold.delay("held")
    held.arrived(1, SECONDS)
    hanging = start_worker("--threads", "1")
    other = hold.delay("stuck")
    stuck.arrived(1, SECONDS)
    hanging.terminate(signal.SIGSTOP)
    start_worker("--threads", "1")
    stuck.arrived(2, SECONDS)
    assert (job.refresh().state, job.attempt) == ("running", 1)
    held.open()
    stuck.open()
    assert ended(job, SECONDS).attempt == 1
    assert ended(other, SECONDS).attempt == 2
    hanging.terminate(signal.SIGCONT)


def test_a_job_that_stops_the_whole_interpreter_costs_only_its_own_worker(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal
) -> None:
    (tmp_path / "frozen.py").write_text(
        "import ctypes\n"
        "from apps.workshop import create_app, tasks\n"
        "from flask_backburner import current_job\n"
        "@tasks.task(name='freeze')\n"
        "def freeze() -> int:\n"
        "    if current_job.attempt == 1:\n"
        "        ctypes.PyDLL(None).sleep(600)  # and keeps the interpreter's lock\n"
        "    return current_job.attempt\n"
        "app = create_app()\n"
        "app.post('/freeze')(lambda: freeze.delay())\n"
    )
    served = serve.flask_run(tmp_path, "frozen:app", env=SOON)
    id = requests.post(f"{served.url}/freeze", timeout=30).json()["id"]
    until(lambda: tasks.job(id).done, SECONDS, served.output)
    assert tasks.job(id).document()["result"] == 2
    assert "The embedded worker ended with status 1" in served.output()
    assert 'frozen.py", line 7 in freeze' in served.output()
    assert processes.alive(served.pid)
