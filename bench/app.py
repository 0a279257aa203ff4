"""The app that is measured; its store is told by the environment."""

from __future__ import annotations

import os

from flask import Flask

from flask_backburner import Backburner, Job

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
