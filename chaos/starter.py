"""Start the jobs that come as orders on the standard input, and note each id that is given."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from chaos.app import app, crawl, nap, poison, wait
from chaos.journal import note
from flask_backburner import Job
from flask_backburner.errors import StoreBusy
from flask_backburner.task import Task

PAUSE = 0.1
TASKS: dict[str, Task[..., Any]] = {"nap": nap, "wait": wait, "poison": poison, "crawl": crawl}


def main() -> None:
    with app.app_context():
        for line in sys.stdin:
            order = json.loads(line)
            for job in _started(order):
                note("acknowledged", job.id, word=order["task"])
            note("served", word=order["number"])


def _started(order: dict[str, Any]) -> list[Job[Any]]:
    """The jobs of an order."""
    at = order["at"] and datetime.fromtimestamp(order["at"], UTC)
    task = TASKS[order["task"]].using(eta=at)
    while True:
        try:
            return task.map([tuple(order["arguments"])] * order["jobs"])
        except StoreBusy:
            if not order["patient"]:
                raise
            time.sleep(PAUSE)  # nothing was acknowledged


if __name__ == "__main__":
    main()
