"""Tasks of Celery's that are revoked or run out of time while they run, in a real worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support import processes
from support.celery_stage import SECONDS, Stage, answer, post
from support.journal import Journal
from support.redis_server import RedisServer
from support.servers import Served, Servers
from support.waiting import until


@pytest.fixture(params=["embedded", "engine"])
def served(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    journal: Journal,
    serve: Servers,
    redis_server: RedisServer,
) -> Served:
    """The app, with somebody to run its tasks."""
    return Stage(str(request.param), tmp_path, serve, redis_server).start("apps.celery_limits")


def begun(served: Served, task: str) -> str:
    """The id of a task that was started."""
    return str(post(f"{served.url}/start/{task}").json()["id"])


def until_status(served: Served, id: str, state: str) -> Any:
    """Wait for this state; the answer that has it."""
    last: list[Any] = [None]

    def is_there() -> bool:
        last[0] = answer(f"{served.url}/status/{id}")
        return bool(last[0]["state"] == state)

    until(is_there, SECONDS, lambda: f"{state}, last was {last[0]}\n{served.output()}")
    return last[0]


@pytest.mark.parametrize("task", ["endless", "endless_apart"])
def test_a_running_task_that_is_revoked_stops_at_its_next_update(
    served: Served, journal: Journal, task: str
) -> None:
    id = begun(served, task)
    until_status(served, id, "BUSY")
    post(f"{served.url}/revoke/{id}")
    assert until_status(served, id, "REVOKED")["info"] == "TaskRevokedError: revoked"
    assert (journal.starts(task), journal.ended()) == (1, set())


def test_a_soft_limit_lets_a_task_tidy_up(served: Served) -> None:
    assert until_status(served, begun(served, "polite"), "SUCCESS")["info"] == "tidied up"


def test_a_soft_limit_that_nobody_minds_is_a_failure(served: Served) -> None:
    answer = until_status(served, begun(served, "careless"), "FAILURE")
    assert answer["info"] == ("SoftTimeLimitExceeded: It ran for longer than its timeout of 0.5 s.")


def test_a_hard_limit_ends_a_task_that_does_nothing(served: Served, journal: Journal) -> None:
    id = begun(served, "stuck")
    assert until_status(served, id, "FAILURE")["info"] == (
        "TimeLimitExceeded: It ran for longer than its timeout of 1 s."
    )
    (pid,) = journal.pids("stuck")
    until(lambda: not processes.alive(pid), SECONDS, "the end of the task's process")
