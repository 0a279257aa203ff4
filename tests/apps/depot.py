"""An app whose jobs run in Celery's workers, and do what tests of that need."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask

from flask_backburner import Backburner, Job, current_job
from flask_backburner.installation import Installation
from support.journal import note, noted
from support.latch import pass_latch
from support.waiting import until

FOLDER = "DEPOT"
NO_PROCESS_TASK = "DEPOT_NO_PROCESS_TASK"
PATIENCE = 60.0

tasks = Backburner()


def create_app() -> Flask:
    """The app; its store is where the environment says."""
    app = Flask("depot", instance_path=os.environ[FOLDER])
    app.config["BACKBURNER_WORKER"] = "external"
    app.config.from_prefixed_env()
    tasks.init_app(app)
    app.add_url_rule("/add", "add", lambda: add.delay(1, 2), methods=["POST"])
    return app


@contextmanager
def opened() -> Iterator[Installation]:
    """The app in this process, in its context, to start jobs and to look at them."""
    app = create_app()
    with app.app_context():
        yield tasks.installation(app)
    tasks.installation(app).close()


def ended(job: Job[Any]) -> Job[Any]:
    """Wait until the job is over."""
    until(lambda: job.refresh().done, PATIENCE, lambda: f"the end of {job}")
    return job


@tasks.task
def add(a: int, b: int) -> int:
    note("add", current_job.id, current_job.attempt)
    return a + b


@tasks.task
def hold(name: str = "latch") -> int:
    """Wait at a latch; the journal shows the start, and the end if there is one."""
    with noted(current_job.id, current_job.attempt):
        pass_latch(name)
    return os.getpid()


@tasks.task
def steps(total: int) -> int:
    """Report, log, then wait at the latch, for each step."""
    for step in range(1, total + 1):
        current_job.progress(step, total, f"Step {step}")
        current_job.log(f"Did {step}")
        pass_latch()
        current_job.check_cancelled()
    return total


@tasks.task
def parcel() -> Any:
    """A file as its result."""
    return current_job.attach(b"bytes", "parcel.bin")


@tasks.task(timeout=0.5)
def spin() -> None:
    """Never looks whether it is to stop."""
    note("start", current_job.id, current_job.attempt)
    while True:
        pass


@tasks.task(timeout=0.5, retries=1, backoff=0)
def spin_once() -> str:
    """The second attempt is quick."""
    while current_job.attempt == 1:
        pass
    return "done"


@tasks.task(timeout=0.5)
def grip() -> None:
    """Lets no other thread run, as some libraries do."""
    note("start", current_job.id, current_job.attempt)
    ctypes.PyDLL(None).sleep(1000)


@tasks.task
def long_grip(seconds: int) -> int:
    with noted(current_job.id, current_job.attempt):
        ctypes.PyDLL(None).sleep(seconds)
    return seconds


@tasks.task
async def later() -> str:
    """Waits on its loop for what never comes."""
    note("start", current_job.id, current_job.attempt)
    await asyncio.Event().wait()
    return "never"


@tasks.task
async def soon(word: str) -> str:
    await asyncio.sleep(0)
    current_job.progress(1, 1)
    return word


@tasks.task
def die(times: int = 1) -> str:
    """End the process in the first so many attempts."""
    note("start", current_job.id, current_job.attempt)
    if current_job.attempt <= times:
        os._exit(9)
    return "survived"


@tasks.task
def hoard() -> int:
    """Take a gigabyte."""
    return len(bytearray(1 << 30))


@tasks.task
def thread_name() -> str:
    return threading.current_thread().name


@tasks.task(process=os.environ.get(NO_PROCESS_TASK) is None)
def in_process() -> int:
    return os.getpid()


if FOLDER in os.environ and Path(os.environ[FOLDER]).is_dir():
    app = create_app()
    celery_app = tasks.celery_app
