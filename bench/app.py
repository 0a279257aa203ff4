"""The app that is measured; its store is told by the environment."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from flask import Flask

from flask_backburner import Backburner, Job, current_job

FOLDER = os.environ.get("BENCH_FOLDER", ".")

app = Flask(__name__, instance_path=os.path.abspath(FOLDER))
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task
def nothing() -> None:
    """The job whose cost is all ours."""


@tasks.task
def burn(file: str) -> int:
    """Compute for as long as the file exists."""
    rounds = 0
    while os.path.exists(file):
        rounds += sum(number * number % 7 for number in range(20_000)) % 2 + 1
    return rounds


@tasks.task
async def second() -> None:
    """Wait a second, as for somebody else's answer."""
    await asyncio.sleep(1.0)


@tasks.task(process=True)
def linger(deaf: bool) -> None:
    """Go on until it is ended; whoever is deaf does not heed SIGTERM."""
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    current_job.progress(1)
    time.sleep(3600)


@app.get("/constant")
def constant() -> str:
    return "constant"


@app.post("/start")
def start() -> Job[None]:
    return nothing.delay()


@app.post("/burn/<int:jobs>")
def start_burning(jobs: int) -> str:
    fire = os.path.join(app.instance_path, "fire")
    open(fire, "w").close()
    burn.map([(fire,)] * jobs)
    return str(jobs)
