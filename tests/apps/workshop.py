"""An app whose tasks do what tests of workers need: wait at latches, fail, log, die."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue

from flask_backburner import Backburner, Job, JobCancelled, JobError, current_job
from flask_backburner.installation import Installation
from support.journal import note, noted
from support.latch import pass_latch
from support.waiting import until

FOLDER = "WORKSHOP"

tasks = Backburner()


def create_app(**config: Any) -> Flask:
    """The app, with its store in the folder that the environment names."""
    app = Flask("workshop", instance_path=os.environ[FOLDER])
    app.config.from_prefixed_env()
    app.config.update(config)
    tasks.init_app(app)
    app.add_url_rule("/", "pid", lambda: str(os.getpid()))
    app.add_url_rule("/start/<name>", "start", _start, methods=["POST"])
    app.after_request(_say_which_process)
    return app


def _start(name: str) -> ResponseReturnValue:
    return tasks._tasks[f"{__name__}:{name}"].delay(**request.get_json(silent=True) or {})


def _say_which_process(response: Response) -> Response:
    response.headers["Pid"] = str(os.getpid())
    return response


@contextmanager
def opened(**config: Any) -> Iterator[Installation]:
    """The app in this process, in its context, to start jobs and to look at them; runs none."""
    app = create_app(**{"BACKBURNER_WORKER": "external", **config})
    with app.app_context():
        yield tasks.installation(app)
    tasks.installation(app).close()


def ended(job: Job[Any], deadline: float = 60.0) -> Job[Any]:
    """Wait until the job is over."""
    until(lambda: job.refresh().done, deadline, lambda: f"the end of {job}")
    return job


@tasks.task
def add(a: int = 1, b: int = 1) -> int:
    return a + b


@tasks.task
async def add_later(a: int, b: int) -> int:
    await asyncio.sleep(0)
    current_job.progress(1, 1)
    return a + b


@tasks.task
def app_name() -> str:
    return current_app.name


@tasks.task
def hold(name: str = "latch") -> int:
    """Wait at a latch; the journal shows the start, and the end if there is one."""
    with noted(current_job.id, current_job.attempt):
        pass_latch(name)
    return os.getpid()


@tasks.task(timeout=1.0)
def tarry() -> None:
    """Go on until it is told to stop."""
    note("start", current_job.id, current_job.attempt)
    try:
        until(lambda: current_job.progress(1), 60.0)
    finally:
        note("end", current_job.id, current_job.attempt)


@tasks.task
def mark(word: str = "") -> int:
    note("mark", current_job.id)
    note("word", word or "-")
    return os.getpid()


@tasks.task
def steps(total: int = 5) -> int:
    """Report, then wait at the latch, for each step."""
    for step in range(1, total + 1):
        current_job.progress(step, total, f"Step {step}")
        pass_latch()
    return total


@tasks.task
def stubborn() -> str:
    """Catches what it can; a cancel arrives all the same."""
    pass_latch()
    until(lambda: current_job.cancel_requested)
    try:
        current_job.progress(1)
    except Exception:
        return "swallowed"
    return "never told"


@tasks.task
def tidy() -> None:
    pass_latch()
    until(lambda: current_job.cancel_requested)
    try:
        current_job.check_cancelled()
    except JobCancelled:
        note("tidied", current_job.id)
        raise


@tasks.task
async def tidy_group() -> None:
    """Two parts of it meet the cancel at once."""

    async def part() -> None:
        await asyncio.to_thread(until, lambda: current_job.cancel_requested)
        current_job.check_cancelled()

    pass_latch()
    async with asyncio.TaskGroup() as group:
        group.create_task(part())
        group.create_task(part())


@tasks.task
def fail(how: str) -> None:
    raise {
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "base": BaseException("deep"),
        "error": ValueError("the secret path"),
        "words": JobError("The file has no header row"),
        "untellable": Untellable(),
        "not text": OSError("a name \udcff of no text"),
    }[how]


class Untellable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@tasks.task
def bad_result() -> Any:
    return threading.Lock()


@tasks.task
def chatty() -> None:
    logging.getLogger("workshop.chatty").warning("by logging: %d", 1)
    current_job.log("by hand")
    current_app.logger.warning("by the app")


@tasks.task
def die(times: int = 1) -> str:
    """End the whole worker process in the first so many attempts."""
    note("start", current_job.id, current_job.attempt)
    if current_job.attempt <= times:
        os._exit(9)
    return "survived"


@tasks.task
def fork_and_hold() -> int:
    """Leave a forked grandchild that lives on until the latch ``grandchild`` opens."""
    pid = os.fork()
    if pid == 0:
        pass_latch("grandchild")
        os._exit(0)
    return pid


app = create_app() if FOLDER in os.environ else None
