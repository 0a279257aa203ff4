"""Status monitoring: start a job, ask how it is, and stop asking when it is done.

    python examples/status_monitoring.py

    curl -i -X POST http://127.0.0.1:5000/primes/2000000    202, Location: /jobs/<id>
    curl http://127.0.0.1:5000/status/<id>                  {"state": "running", "done": false, …}
    curl http://127.0.0.1:5000/status/<id>                  {"state": "succeeded", "done": true, …}

Ask /jobs/<id>, which is there by itself, or make a view like /status/<id> of your own. Once
``done`` is true nothing changes any more.
"""

import os

from flask import Flask, abort

from flask_backburner import Backburner, Job, JobNotFound, current_job

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task
def count_primes(limit: int) -> int:
    """Count the primes below ``limit`` by trial division."""
    return sum(is_prime(n) for n in current_job.track(range(limit), message="Counting primes"))


def is_prime(n: int) -> bool:
    return n > 1 and all(n % divisor for divisor in range(2, int(n**0.5) + 1))


@app.post("/primes/<int:limit>")
def start(limit: int) -> Job[int]:
    return count_primes.delay(limit)


@app.get("/status/<id>")
def status(id: str) -> dict[str, object]:
    try:
        job = tasks.job(id)
    except JobNotFound:
        abort(404)
    return {
        "state": job.state,
        "done": job.done,
        "fraction": job.progress.fraction,
        "result": job.result if job.state == "succeeded" else None,
    }


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
