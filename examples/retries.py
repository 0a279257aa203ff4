"""Retries: a service that is not always there, asked again after a while.

    python examples/retries.py

    curl -i -X POST http://127.0.0.1:5000/rates/EUR
    curl http://127.0.0.1:5000/jobs/<id>

The service is this program itself, and answers each third request. Until it does the job is
queued again, with the reason in its ``error`` and the time of its next attempt in ``run_at``.
"""

import os
from itertools import count
from urllib.error import HTTPError
from urllib.request import urlopen

from flask import Flask, abort

from flask_backburner import Backburner, Backoff, Job, JobError

PORT = int(os.environ.get("PORT", "5000"))

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)
asked = count(1)


@tasks.task(retries=5, backoff=Backoff(base=1, most=30), retry_on=OSError)
def fetch_rate(currency: str) -> float:
    try:
        with urlopen(f"http://127.0.0.1:{PORT}/service/{currency}", timeout=10) as answer:
            return float(answer.read())
    except HTTPError as error:
        if error.code == 404:  # no other attempt would help
            raise JobError(f"There is no currency {currency}") from error
        raise


@app.post("/rates/<currency>")
def start(currency: str) -> Job[float]:
    return fetch_rate.delay(currency)


@app.get("/service/<currency>")
def service(currency: str) -> str:
    if currency != "EUR":
        abort(404)
    if next(asked) % 3:
        abort(503)
    return "1.08"


if __name__ == "__main__":
    app.run(port=PORT)
