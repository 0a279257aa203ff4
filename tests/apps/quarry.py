"""An app whose tasks run in processes of their own, and do there what such tasks may do."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Any

from flask import Flask, current_app

from flask_backburner import Backburner, current_job
from support.latch import pass_latch

FOLDER = "QUARRY"
BROKEN = "QUARRY_BROKEN"
ADDRESS = "apps.quarry:create_app()"

tasks = Backburner()


def create_app(**config: Any) -> Flask:
    """The app, with its store in the folder that the environment names."""
    if os.path.exists(os.environ.get(BROKEN, "")):
        raise RuntimeError("the quarry is closed")
    app = Flask("quarry", instance_path=os.environ[FOLDER])
    app.config.from_prefixed_env()
    app.config.update(config)
    tasks.init_app(app)
    return app


@tasks.task(process=True)
def add(left: int, right: int) -> int:
    return left + right


@tasks.task(process=True)
def where() -> dict[str, Any]:
    """In which process and surroundings a job is."""
    return {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "app": current_app.name,
        "input": sys.stdin.read(),
        "folder": os.getcwd(),
    }


@tasks.task(process=True)
def pid() -> int:
    return os.getpid()


@tasks.task(process=True)
def leave_folder(path: str) -> int:
    os.chdir(path)
    return os.getpid()


@tasks.task(process=True)
def report(items: int) -> str:
    logging.getLogger("quarry").warning("it begins")
    for _ in current_job.track(range(items), message="digging"):
        pass_latch()
    current_job.log("it ends")
    return current_job.attach(b"stone", "stone.txt").name


@tasks.task(process=True)
def remember(value: int) -> int:
    """Adds to what an earlier attempt kept."""
    found = current_job.checkpoint.get("value", 0)
    current_job.checkpoint["value"] = found + value
    return found


@tasks.task(process=True)
def fail(words: str) -> None:
    raise ValueError(words)


@tasks.task(process=True)
def hold() -> str:
    pass_latch()
    return "let go"


@tasks.task(process=True)
def shout(words: str) -> None:
    print(words)


@tasks.task(process=True)
def hold_on() -> None:
    """Stops for nobody."""
    while True:
        try:
            pass_latch()
            while True:
                threading.Event().wait()
        except BaseException as error:
            current_job.log(type(error).__name__)


@tasks.task(process=True)
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@tasks.task(process=True)
def hoard() -> None:
    kept = []
    while True:
        kept.append(bytearray(8 << 20))


@tasks.task(process=True)
def leave_daemon() -> int:
    """Starts a process that has no parent, and gives its id."""
    read, write = os.pipe()
    if not os.fork():
        os.setsid()
        pid = os.fork()
        if pid:
            os.write(write, str(pid).encode())
            os._exit(0)
        signal.pause()
    return int(os.read(read, 20))


@tasks.task(process=True, timeout=0.5)
def dig_for_ever() -> None:
    threading.Event().wait()


@tasks.task
def pid_in_thread() -> int:
    return os.getpid()


@tasks.task
def return_twice() -> int:
    """Forks the worker itself, and the fork runs on."""
    return os.fork()


@tasks.task
def leave_fork() -> int:
    """Forks the worker itself; the fork stays until it is killed."""
    pid = os.fork()
    if not pid:
        signal.pause()
    return pid


@tasks.task(process=True)
def pass_on(left: int, right: int) -> str:
    """Leaves the work to another job."""
    return add.delay(left, right).id


@tasks.task(process=True)
def wait_for_ever() -> None:
    threading.Event().wait()
