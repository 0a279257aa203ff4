"""Examples whose jobs are asked for by programs."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import requests

from support.examples import EXAMPLES, Run, everywhere, finished
from support.servers import Servers
from support.waiting import until


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
