"""Start the jobs that come as orders on the standard input, and note each id that is given."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from chaos.app import app, crawl, nap, poison, wait
from chaos.journal import note
from flask_backburner.task import Task

TASKS: dict[str, Task[..., Any]] = {"nap": nap, "wait": wait, "poison": poison, "crawl": crawl}


def main() -> None:
    with app.app_context():
        for line in sys.stdin:
            order = json.loads(line)
            at = order["at"] and datetime.fromtimestamp(order["at"], UTC)
            task = TASKS[order["task"]].using(eta=at)
            for job in task.map([tuple(order["arguments"])] * order["jobs"]):
                note("acknowledged", job.id, word=order["task"])
            note("served", word=str(order["number"]))


if __name__ == "__main__":
    main()
