"""Thread-safe status: four functions that any thread of any process may call.

    python examples/thread_safe_status.py

It starts three processes of four threads each, which work on the tasks made here, and shows their
statuses. A restart forgets nothing; a dictionary and a lock would belong to one process.
"""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from flask import Flask

from flask_backburner import Backburner, JobNotFound

PROCESSES, THREADS = 3, 4

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)


def create_task(name: str) -> str:
    return tasks.external(name).id


def update_task_progress(id: str, current: int, total: int, message: str | None = None) -> None:
    tasks.external(id=id).progress(current, total, message)


def complete_task(id: str, result: Any = None) -> None:
    tasks.external(id=id).succeed(result)


def get_task_status(id: str) -> dict[str, Any] | None:
    try:
        document = tasks.job(id).document()
    except JobNotFound:
        return None
    shown = "state", "progress", "result", "created_at", "updated_at", "finished_at"
    return {key: document.get(key) for key in shown}


def forget_old_tasks(older_than: timedelta) -> int:
    return tasks.purge(older_than)


def work(id: str) -> None:
    """Add up the squares below a million."""
    total = 0
    for step in range(20):
        total += sum(n * n for n in range(step * 50_000, (step + 1) * 50_000))
        update_task_progress(id, step + 1, 20, threading.current_thread().name)
    complete_task(id, total)


if __name__ == "__main__":
    if ids := sys.argv[1:]:
        with ThreadPoolExecutor(THREADS, "worker") as pool:
            list(pool.map(work, ids))
    else:
        ids = [create_task("squares") for _ in range(PROCESSES * THREADS)]
        command = [sys.executable, __file__]
        for process in [subprocess.Popen([*command, *ids[n::PROCESSES]]) for n in range(PROCESSES)]:
            process.wait()
        for id in [*ids, "unknown"]:
            print(id, get_task_status(id))
        print(forget_old_tasks(timedelta(days=1)), "tasks of yesterday and before forgotten")
