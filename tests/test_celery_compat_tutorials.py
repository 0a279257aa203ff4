"""Apps as tutorials on Celery have them give the same answers, whatever Celery is imported from.

On our own engine, on the engine that is Celery, and with Celery itself; what differs is only
where the names come from.
"""

from __future__ import annotations

import mailbox
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from apps.celery_imports import COMPAT, VARIABLE

from support.latch import Latch
from support.redis_server import RedisServer, client
from support.servers import Served, Servers
from support.waiting import until

SECONDS = 60.0
STAGES = ["embedded", "engine", "celery"]

Start = Callable[..., Served]


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    """Who runs the tasks: a child of the web server, our Celery engine, or Celery itself."""
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The instance folder of the apps."""
    folder = tmp_path / "instance"
    folder.mkdir()
    monkeypatch.setenv("CELERY_APP_FOLDER", str(folder))
    return folder


@pytest.fixture
def start(
    stage: str, folder: Path, serve: Servers, redis_server: RedisServer
) -> Iterator[Start]:
    """Start a web server for an app, and what runs its tasks on this stage."""

    def start(module: str, celery: str, app: str = "app") -> Served:
        serve.env.update(_environment(stage, redis_server))
        served = serve.flask_run(folder, f"apps.{module}:{app}")
        if stage == "engine":
            _await(serve.worker(folder, f"apps.{module}:{app}", "--threads", "2"), "ready.")
        if stage == "celery":
            options = ["-A", celery, "worker", "-l", "INFO", "-c", "2", "--without-mingle"]
            _await(serve.run(folder, "-m", "celery", *options), "ready.")
        return served

    yield start
    serve.stop()


def _environment(stage: str, redis: RedisServer) -> dict[str, str]:
    if stage == "embedded":
        return {VARIABLE: COMPAT}
    with client(redis.url) as connection:
        connection.flushdb()
    if stage == "engine":
        return {VARIABLE: COMPAT, "FLASK_BACKBURNER_URL": redis.url}
    return {VARIABLE: "celery", "REDIS_FOR_CELERY": redis.url}


def _await(worker: Served, sign: str) -> None:
    until(lambda: sign in worker.output(), SECONDS, lambda: f"{sign} of {worker.output()}")


def answer(url: str) -> Any:
    return requests.get(url, timeout=30).json()


def post(url: str, **options: Any) -> requests.Response:
    answer = requests.post(url, timeout=30, allow_redirects=False, **options)
    answer.raise_for_status()
    return answer


def until_answer(url: str, expected: object) -> None:
    """Ask until this is the answer."""
    last: list[object] = [None]

    def is_expected() -> bool:
        last[0] = answer(url)
        return last[0] == expected

    until(is_expected, SECONDS, lambda: f"{expected}, last was {last[0]}")


def test_a_long_task_tells_how_far_it_is(start: Start, make_latch: Callable[[str], Latch]) -> None:
    half = make_latch("half")
    served = start("celery_progress", "apps.celery_progress.celery")
    started = post(f"{served.url}/longtask")
    assert started.status_code == 202
    status = served.url + started.headers["Location"]
    half.arrived(1, SECONDS)
    until_answer(status, {"state": "PROGRESS", "current": 5, "total": 10, "status": "Polishing 5"})
    half.open()
    until_answer(
        status,
        {
            "state": "SUCCESS",
            "current": 100,
            "total": 100,
            "status": "Task completed!",
            "result": 42,
        },
    )


def test_a_task_that_fails_and_one_that_nobody_knows(start: Start) -> None:
    served = start("celery_progress", "apps.celery_progress.celery")
    started = post(f"{served.url}/divide", json={"a": 1, "b": 0})
    until_answer(
        served.url + started.headers["Location"],
        {"state": "FAILURE", "current": 1, "total": 1, "status": "division by zero"},
    )
    assert answer(f"{served.url}/status/nobody-knows-this") == {
        "state": "PENDING",
        "current": 0,
        "total": 1,
        "status": "Pending...",
    }


def test_shared_tasks_run_in_the_context_of_the_factorys_app(start: Start) -> None:
    served = start("celery_factory", "apps.celery_factory_worker.celery_app", "create_app()")
    ids = [
        post(f"{served.url}/tasks/{path}", json=json).json()["result_id"]
        for path, json in [("add", {"a": 2, "b": 3}), ("price/7", None)]
    ]
    results = [f"{served.url}/tasks/result/{id}" for id in ids]
    until_answer(results[0], {"ready": True, "successful": True, "value": 5})
    until_answer(results[1], {"ready": True, "successful": True, "value": "7 EUR for [7]"})


def test_mail_is_sent_now_or_after_the_countdown(start: Start, folder: Path) -> None:
    served = start("celery_mail", "apps.celery_mail.celery")
    begun = time.time()
    for button, to in [("Later", "late@example.com"), ("Send", "now@example.com")]:
        assert post(served.url, data={"email": to, "submit": button}).status_code == 302
    sent = until(lambda: _outbox(folder, 2), SECONDS, "two mails")
    assert sorted(sent) == ["late@example.com", "now@example.com"]
    assert sent["late@example.com"] - begun >= 2.0
    assert sent["now@example.com"] > begun


def _outbox(folder: Path, mails: int) -> dict[str, float]:
    """When each mail was sent, by whom it is for; empty until there are so many."""
    if not (folder / "outbox").exists():
        return {}
    box = mailbox.mbox(folder / "outbox", create=False)
    found = {str(mail["To"]): float(mail["Sent-At"]) for mail in box}
    box.close()
    return found if len(found) == mails else {}


def test_a_task_is_tried_again_until_it_is_done_or_there_is_no_retry_left(start: Start) -> None:
    served = start("celery_retries", "apps.celery_retries.celery")
    ids = {
        name: post(f"{served.url}/start/{name}/2").json()["id"]
        for name in ("fetch", "hopeless", "patient")
    }
    status = {name: f"{served.url}/status/{id}" for name, id in ids.items()}
    until_answer(status["fetch"], {"state": "SUCCESS", "info": "fetched after 2 retries"})
    until_answer(status["hopeless"], {"state": "FAILURE", "info": "Unreachable: try 2"})
    until_answer(status["patient"], {"state": "RETRY", "info": "Unreachable: not today"})
