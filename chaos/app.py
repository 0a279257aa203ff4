"""The app whose jobs are disturbed: each says in the journal when it begins and when it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, request
from flask.typing import ResponseReturnValue

from chaos import defects
from chaos.environment import DEFECT, FOLDER, HELD_IMPORT
from chaos.journal import note, noted
from flask_backburner import Backburner, current_job
from flask_backburner.running import RUNNING
from support.latch import pass_latch

defects.install(os.environ.get(DEFECT))
app = Flask(__name__, instance_path=os.path.abspath(os.environ[FOLDER]))
app.config.from_prefixed_env()
tasks = Backburner(app)


@contextmanager
def attempt() -> Iterator[int]:
    """An attempt that is noted; gives its fence, which each task returns."""
    fence = RUNNING.get().claim.fence
    with noted(current_job.id, fence):
        yield fence


@tasks.task
def nap(seconds: float) -> int:
    """Sleep, and say so half-way."""
    with attempt() as fence:
        if seconds:
            time.sleep(seconds / 2)
            current_job.progress(1, 2)
            time.sleep(seconds / 2)
        return fence


@tasks.task
def wait(latch: str) -> int:
    """Wait at a latch that the scenario holds, another one in each attempt."""
    with attempt() as fence:
        current_job.progress(1, 2)
        pass_latch(f"{latch}-{current_job.attempt}")
        return fence


@tasks.task
def poison(how: str) -> int:
    """End the process that runs it, each time."""
    with attempt() as fence:
        note("dies", current_job.id, fence, how)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(9)


@tasks.task
def crawl(items: int, held: list[int]) -> int:
    """Go through items and remember how far it came; each attempt but the last is held at one."""
    with attempt() as fence:
        current_job.step("prepare", _noted_step, "prepare")
        hold = dict(enumerate(held, 1)).get(current_job.attempt)
        for item in current_job.track(range(items), resume=True):
            note("item", current_job.id, fence, str(item))
            if item == hold:
                pass_latch(f"item-{item}")
        current_job.step("conclude", _noted_step, "conclude")
        return fence


def _noted_step(name: str) -> str:
    note("step", current_job.id, word=name)
    return name


@app.get("/")
def pid() -> str:
    return str(os.getpid())


@app.post("/nap")
def start_nap() -> ResponseReturnValue:
    return nap.delay(float(request.args["seconds"]))


if HELD_IMPORT in os.environ:
    pass_latch(os.environ[HELD_IMPORT])
