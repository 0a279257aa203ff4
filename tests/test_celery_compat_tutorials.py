"""Apps as tutorials on Celery have them give the same answers, whatever Celery is imported from.

On our own engine, on the engine that is Celery, and with Celery itself; what differs is only
where the names come from.
"""

from __future__ import annotations

import mailbox
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.celery_stage import SECONDS, Stage, answer, post, until_answer
from support.latch import Latch
from support.redis_server import RedisServer
from support.servers import Servers
from support.waiting import until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The instance folder of the apps."""
    folder = tmp_path / "instance"
    folder.mkdir()
    return folder


@pytest.fixture(params=["embedded", "engine", "celery"])
def stage(
    request: pytest.FixtureRequest, folder: Path, serve: Servers, redis_server: RedisServer
) -> Stage:
    """Who runs the tasks: a child of the web server, our engine that is Celery, or Celery."""
    return Stage(str(request.param), folder, serve, redis_server)


def test_a_long_task_tells_how_far_it_is(stage: Stage, make_latch: Callable[[str], Latch]) -> None:
    half = make_latch("half")
    served = stage.start("apps.celery_progress")
    started = post(f"{served.url}/longtask")
    assert started.status_code == 202
    status = served.url + started.headers["Location"]
    half.arrived(1, SECONDS)
    until_answer(
        status, served, {"state": "PROGRESS", "current": 5, "total": 10, "status": "Polishing 5"}
    )
    half.open()
    until_answer(
        status,
        served,
        {
            "state": "SUCCESS",
            "current": 100,
            "total": 100,
            "status": "Task completed!",
            "result": 42,
        },
    )


def test_a_task_that_fails_and_one_that_nobody_knows(stage: Stage) -> None:
    served = stage.start("apps.celery_progress")
    started = post(f"{served.url}/divide", json={"a": 1, "b": 0})
    until_answer(
        served.url + started.headers["Location"],
        served,
        {"state": "FAILURE", "current": 1, "total": 1, "status": "division by zero"},
    )
    assert answer(f"{served.url}/status/nobody-knows-this") == {
        "state": "PENDING",
        "current": 0,
        "total": 1,
        "status": "Pending...",
    }


def test_shared_tasks_run_in_the_context_of_the_factorys_app(stage: Stage) -> None:
    served = stage.start(
        "apps.celery_factory", "apps.celery_factory_worker.celery_app", "create_app()"
    )
    ids = [
        post(f"{served.url}/tasks/{path}", json=json).json()["result_id"]
        for path, json in [("add", {"a": 2, "b": 3}), ("price/7", None)]
    ]
    results = [f"{served.url}/tasks/result/{id}" for id in ids]
    until_answer(results[0], served, {"ready": True, "successful": True, "value": 5})
    until_answer(results[1], served, {"ready": True, "successful": True, "value": "7 EUR for [7]"})


def test_mail_is_sent_now_or_after_the_countdown(stage: Stage, folder: Path) -> None:
    served = stage.start("apps.celery_mail")
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


def test_a_task_is_tried_again_until_it_is_done_or_there_is_no_retry_left(stage: Stage) -> None:
    served = stage.start("apps.celery_retries")
    ids = {
        name: post(f"{served.url}/start/{name}/2").json()["id"]
        for name in ("fetch", "hopeless", "patient")
    }
    status = {name: f"{served.url}/status/{id}" for name, id in ids.items()}
    until_answer(status["fetch"], served, {"state": "SUCCESS", "info": "fetched after 2 retries"})
    until_answer(status["hopeless"], served, {"state": "FAILURE", "info": "Unreachable: try 2"})
    until_answer(status["patient"], served, {"state": "RETRY", "info": "Unreachable: not today"})
