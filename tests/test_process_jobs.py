"""Process jobs as an app has them: by a worker, by a web server, by a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from apps import quarry

from flask_backburner import BackburnerError, Job
from flask_backburner.engine.local import engine
from flask_backburner.installation import Installation
from flask_backburner.record import SUSPICIOUS, Crashed
from flask_backburner.store.claim import Claim, Settlement
from support import processes
from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

SECONDS = 90.0


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Servers) -> Iterator[Installation]:
    """The app in this process, to start jobs and to look at them."""
    monkeypatch.setenv(quarry.FOLDER, str(tmp_path / "quarry"))
    app = quarry.create_app(BACKBURNER_WORKER="external")
    with app.app_context():
        yield quarry.tasks.installation(app)
    quarry.tasks.installation(app).close()


@pytest.fixture
def start_worker(site: Installation, serve: Servers, tmp_path: Path) -> Callable[..., Served]:
    def start(*args: str) -> Served:
        return serve.worker(tmp_path, "apps.quarry:create_app()", *args)

    return start


def ended(job: Job[Any], served: Served) -> Job[Any]:
    until(lambda: job.refresh().done, SECONDS, lambda: f"the end of {job}\n{served.output()}")
    return job


def test_a_worker_runs_process_jobs_beside_itself(start_worker: Callable[..., Served]) -> None:
    job = quarry.pid.delay()
    worker = start_worker()
    assert ended(job, worker).result in processes.descendants(worker.pid)


def test_what_a_job_prints_goes_where_its_worker_prints(
    start_worker: Callable[..., Served],
) -> None:
    quarry.shout.delay("a stone!")
    worker = start_worker("--burst")
    assert worker.wait(SECONDS) == 0
    assert "a stone!\n" in worker.output()


def test_a_process_job_starts_other_jobs(
    site: Installation, start_worker: Callable[..., Served]
) -> None:
    job = quarry.pass_on.delay(1, 2)
    worker = start_worker()
    other = quarry.tasks.job(ended(job, worker).result)
    assert ended(other, worker).result == 3


def test_a_system_that_cannot_fork_refuses_them_when_they_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(quarry.FOLDER, str(tmp_path))
    monkeypatch.setattr(engine, "CAN_FORK", False)
    app = quarry.create_app(BACKBURNER_WORKER="threads")
    with app.app_context(), pytest.raises(BackburnerError, match="Leave process=True out"):
        quarry.pid.delay()
    quarry.tasks.installation(app).close()


def test_a_job_beyond_its_timeout_has_failed(start_worker: Callable[..., Served]) -> None:
    job = quarry.dig_for_ever.delay()
    ended(job, start_worker())
    assert (job.state, job.error.code if job.error else None) == ("failed", "timeout")


def test_a_running_job_is_cancelled_without_its_help(
    start_worker: Callable[..., Served], latch: Latch
) -> None:
    job = quarry.hold.delay()
    worker = start_worker()
    latch.arrived(1, SECONDS)
    job.cancel()
    assert ended(job, worker).state == "cancelled"


def test_jobs_die_with_a_worker_that_is_killed_and_run_again(
    start_worker: Callable[..., Served], latch: Latch
) -> None:
    job = quarry.hold.delay()
    worker = start_worker()
    latch.arrived(1, SECONDS)
    family = processes.descendants(worker.pid)
    assert len(family) == 3  # the nursery, a guard, a slot
    worker.kill9()
    until(lambda: not any(map(processes.alive, family)), SECONDS)
    another = start_worker()
    latch.arrived(2, SECONDS)
    latch.open()
    assert ended(job, another).result == "let go"
    assert (job.attempt, job.record.crashes) == (2, 1)


def test_jobs_die_with_their_worker_although_a_fork_of_it_lives_on(
    start_worker: Callable[..., Served], latch: Latch
) -> None:
    quarry.hold.delay()
    worker = start_worker()
    latch.arrived(1, SECONDS)
    family = processes.descendants(worker.pid)
    fork = ended(quarry.leave_fork.delay(), worker).result
    worker.kill9()
    until(lambda: not any(map(processes.alive, family)), SECONDS)
    assert processes.alive(fork)
    processes.kill_all([fork])


def test_a_fork_of_a_worker_ends_where_the_job_ends_that_made_it(
    start_worker: Callable[..., Served],
) -> None:
    job = quarry.return_twice.delay()
    worker = start_worker()
    fork = ended(job, worker).result
    assert fork != 0
    until(lambda: not processes.alive(fork), SECONDS)
    assert processes.alive(worker.pid)


def test_a_worker_that_is_told_to_stop_releases_its_jobs_and_leaves_no_process(
    start_worker: Callable[..., Served], latch: Latch
) -> None:
    job = quarry.hold.delay()
    worker = start_worker("--grace", "0")
    latch.arrived(1, SECONDS)
    family = processes.descendants(worker.pid)
    worker.terminate()
    worker.wait(SECONDS)
    assert not any(map(processes.alive, family))
    assert (job.refresh().state, job.record.crashes, job.record.failures) == ("queued", 0, 0)


def suspect(site: Installation) -> Job[int]:
    """A job for a thread that has crashed twice."""
    job = quarry.pid_in_thread.delay()
    presence = site.store.join()

    def claimed() -> tuple[Claim, ...]:
        return site.store.turn(presence, room=1, tasks=[job.task]).claimed

    for _ in range(SUSPICIOUS):
        (claim,) = until(claimed, SECONDS)
        site.store.turn(presence, settled=[Settlement(claim, Crashed())])
    presence.leave()
    return job


def test_a_job_that_crashed_twice_in_a_thread_has_a_process_of_its_own(
    site: Installation, start_worker: Callable[..., Served]
) -> None:
    job = suspect(site)
    worker = start_worker()
    assert ended(job, worker).result not in (worker.pid, None)


def test_it_does_not_wait_until_no_process_job_is_left(
    site: Installation, start_worker: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_BACKBURNER_PROCESSES", "1")
    job = suspect(site)
    until(lambda: site.store.now() > job.refresh().run_at.timestamp(), SECONDS)
    others = quarry.add.map([(1, number) for number in range(10)])
    assert start_worker("--burst").wait(SECONDS) == 0
    first, last = (each.refresh().finished_at for each in (job, others[-1]))
    assert first is not None
    assert last is not None
    assert first < last


def test_a_web_server_runs_them_in_its_embedded_worker(
    site: Installation, serve: Servers, tmp_path: Path
) -> None:
    job = quarry.pid.delay()
    served = serve.gunicorn(
        tmp_path, "apps.quarry:create_app()", env={"FLASK_BACKBURNER_WORKER": "process"}
    )
    requests.get(f"{served.url}/jobs/{job.id}", timeout=SECONDS)
    assert ended(job, served).result in processes.descendants(served.pid)


SCRIPT = """
import os
from flask import Flask
from flask_backburner import Backburner

app = Flask(__name__)
tasks = Backburner(app)

@tasks.task(process=True)
def pid() -> int:
    return os.getpid()

@app.get("/")
def start():
    return pid.delay()

app.run(port=int(os.environ["PORT"]))
"""


def test_a_script_has_them_too(serve: Servers, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    served = serve.python(tmp_path / "script.py")
    path = requests.get(served.url, timeout=SECONDS).json()["links"]["self"]

    def found() -> Any:
        return requests.get(f"{served.url}{path}", timeout=SECONDS).json()

    until(lambda: found()["done"], SECONDS, served.output)
    assert found()["state"] == "succeeded"
