"""Resume: a long import that goes on where it was when its process is killed.

    python examples/resume.py

    curl -i -X POST http://127.0.0.1:5000/imports
    curl http://127.0.0.1:5000/jobs/<id>     # the progress, and as result how often it was tried

Kill the worker in the middle (``kill -9`` the child of this program), or stop all and start it
again: no row that is in ``rows.txt`` is imported a second time, but for the one it was killed in.
"""

import os
from hashlib import pbkdf2_hmac
from pathlib import Path

from flask import Flask, current_app

from flask_backburner import Backburner, Job, current_job

app = Flask(__name__)
app.config.from_mapping(ROWS=200, ROUNDS=150_000)
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task(retries=3)
def import_rows() -> int:
    rows = current_job.step("download", download, current_app.config["ROWS"])
    for row in current_job.track(rows, message="Importing", resume=True):
        store(row)
    return current_job.attempt


def download(rows: int) -> list[str]:
    """What takes long and is the same each time: a step is not run again."""
    return [f"row {number}" for number in range(1, rows + 1)]


def store(row: str) -> None:
    """Keep a row with a seal of its own, which takes some computing."""
    seal = pbkdf2_hmac("sha256", row.encode(), b"resume", current_app.config["ROUNDS"]).hex()
    folder = Path(current_app.instance_path)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rows.txt").open("a") as file:
        file.write(f"{row} {seal}\n")


@app.post("/imports")
def start() -> Job[int]:
    return import_rows.delay()


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
