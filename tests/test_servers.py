"""Real servers of several processes: one embedded worker among them, and one truth."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
import requests
from apps.workshop import FOLDER, ended, opened, tasks

from flask_backburner.installation import Installation
from support import processes
from support.journal import Journal
from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

APP = "apps.workshop:app"
FACTORY = "apps.workshop:create_app()"
SECONDS = 60.0  # what takes two gets a minute before a test fails


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Servers) -> Iterator[Installation]:
    monkeypatch.setenv(FOLDER, str(tmp_path / "shop"))
    with opened() as installation:
        yield installation


def post(served: Served, task: str, **arguments: object) -> requests.Response:
    return requests.post(f"{served.url}/start/{task}", json=arguments, timeout=20)


def ran_in(served: Served) -> int:
    """Start a job by a request and wait for its end: the process that ran it."""
    job = tasks.job(post(served, "mark").json()["id"])
    until(lambda: job.refresh().done, SECONDS, lambda: f"the end of {job}\n{served.output()}")
    return int(job.result)


def children(served: Served) -> list[int]:
    """The embedded workers among a server's processes."""
    return [pid for pid in served.pids() if "engine.local.child" in processes.command(pid)]


def workers_in_order() -> list[str]:
    """Which worker ran the jobs, by the time that they started; repeats left out."""
    records = [job.record for job in tasks.jobs(limit=10_000)]
    records.sort(key=lambda record: str(record.started_at))
    return [str(worker) for worker, _ in groupby(record.worker for record in records)]


@pytest.mark.parametrize(
    ("app", "args"),
    [
        (APP, []),
        (FACTORY, []),
        (APP, ["--preload", "--workers", "2"]),
        (APP, ["--worker-class", "gthread", "--threads", "4"]),
        (APP, ["--worker-class", "gevent"]),
        (APP, ["--worker-class", "gevent", "--preload"]),
    ],
    ids=["sync", "factory", "preload", "gthread", "gevent", "gevent-preload"],
)
def test_under_gunicorn_the_app_is_found_and_its_jobs_run_in_a_process_of_their_own(
    shop: Installation,
    serve: Servers,
    tmp_path: Path,
    journal: Journal,
    app: str,
    args: list[str],
) -> None:
    served = serve.gunicorn(tmp_path, app, *args)
    assert children(served) == []
    assert [ran_in(served)] == children(served)
    assert served.stop() == 0
    assert served.pids() == []
    assert "Traceback" not in served.output()


def test_under_waitress_the_app_is_found(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal
) -> None:
    served = serve.waitress(tmp_path, APP)
    assert [ran_in(served)] == children(served)


def test_an_app_that_gevent_has_patched_runs_its_jobs_and_stops(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal, latch: Latch
) -> None:
    (tmp_path / "patched.py").write_text(
        "from gevent import monkey; monkey.patch_all()\n"
        "from apps.workshop import create_app\napp = create_app()\n"
    )
    served = serve.gunicorn(
        tmp_path, "patched:app", "-k", "gevent", env={"FLASK_BACKBURNER_GRACE": "0.3"}
    )
    assert [ran_in(served)] == children(served)
    job = tasks.job(post(served, "hold").json()["id"])
    latch.arrived(1)
    (child,) = children(served)
    served.kill9(int(requests.get(served.url, timeout=60).text))
    until(lambda: not processes.alive(child), SECONDS, "the child's end")
    assert (job.refresh().state, job.record.crashes) == ("queued", 0)


def test_threads_under_gevent_let_requests_through(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal, latch: Latch
) -> None:
    (tmp_path / "patched.py").write_text(
        "from gevent import monkey; monkey.patch_all()\n"
        "from apps.workshop import create_app\napp = create_app()\n"
    )
    env = {"FLASK_BACKBURNER_WORKER": "threads"}
    served = serve.gunicorn(tmp_path, "patched:app", "-k", "gevent", env=env)
    job = tasks.job(post(served, "hold").json()["id"])
    latch.arrived(1)
    assert children(served) == []
    latch.open()
    assert str(ended(job).result) == requests.get(served.url, timeout=60).text


@pytest.mark.parametrize("args", [[], ["--preload"]], ids=["four", "preload"])
def test_of_four_web_processes_one_has_the_only_worker(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal, args: list[str]
) -> None:
    served = serve.gunicorn(tmp_path, APP, "--workers", "4", *args)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: post(served, "mark"), range(100)))
    jobs = [ended(tasks.job(answer.json()["id"])) for answer in answers]
    assert {job.state for job in jobs} == {"succeeded"}
    assert len({answer.headers["Pid"] for answer in answers}) > 1
    assert len(children(served)) == 1
    assert len(workers_in_order()) == 1
    assert {int(job.result) for job in jobs} == set(children(served))


def test_over_reloads_workers_take_over_and_never_come_back(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal
) -> None:
    module = tmp_path / "shop.py"
    module.write_text("from apps.workshop import create_app\napp = create_app()\n")
    served = serve.flask_run(tmp_path, "shop:app", "--debug")
    ids: list[str] = []
    for reload in range(3):
        web = requests.get(served.url, timeout=60).text
        ids += [post(served, "mark").json()["id"] for _ in range(34)]
        if reload < 2:
            module.write_text(module.read_text() + "# again\n")
            until(lambda web=web: not processes.alive(int(web)), SECONDS, "the reload")
            served.ready(Served.refuses_nonsense)
    assert {ended(tasks.job(id)).state for id in ids} == {"succeeded"}
    order = workers_in_order()
    assert len(order) == len(set(order))


def test_another_web_process_takes_over_when_the_owner_is_killed(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal, latch: Latch
) -> None:
    served = serve.gunicorn(tmp_path, APP, "--workers", "3", env={"FLASK_BACKBURNER_GRACE": "0.2"})
    with ThreadPoolExecutor(8) as clients:  # every web process has had a request
        until(lambda: len(_pids(served, clients)) == 3, SECONDS)
        web = set(map(int, _pids(served, clients)))
    job = tasks.job(post(served, "hold").json()["id"])
    latch.arrived(1)
    (first,) = children(served)
    (owner,) = (pid for pid in web if first in processes.descendants(pid))
    served.kill9(owner)
    latch.arrived(2, SECONDS)
    latch.open()
    assert ended(job).result != first
    assert (job.attempt, job.record.crashes) == (2, 0)
    until(lambda: not processes.alive(first), SECONDS)
    assert [job.result] == children(served)


def _pids(served: Served, clients: ThreadPoolExecutor) -> set[str]:
    """Those that answer among so many requests."""
    urls = [served.url] * 24
    return {answer.text for answer in clients.map(partial(requests.get, timeout=60), urls)}


def test_no_reader_of_four_processes_ever_misses_a_job_or_sees_it_go_back(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal, latch: Latch
) -> None:
    served = serve.gunicorn(tmp_path, APP, "--workers", "4")
    id = post(served, "steps", total=1000).json()["id"]
    latch.arrived(1)

    def read(client: int) -> tuple[set[str], list[int]]:
        pids, versions = set(), []
        for number in range(250):
            if number % 5 == 0:
                latch.step()
            answer = requests.get(f"{served.url}/jobs/{id}", timeout=20)
            assert answer.status_code == 200, answer.text
            assert answer.json()["state"] == "running"
            pids.add(answer.headers["Pid"])
            versions.append(answer.json()["version"])
        return pids, versions

    with ThreadPoolExecutor(8) as clients:
        seen = list(clients.map(read, range(8)))
    assert len(set().union(*(pids for pids, _ in seen))) == 4
    assert [versions for _, versions in seen if versions != sorted(versions)] == []
    assert max(versions[-1] for _, versions in seen) > 3
    latch.open()
    assert ended(tasks.job(id)).result == 1000
