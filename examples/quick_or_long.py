"""Quick or long: quick work is answered directly, long work goes on in the background.

    python examples/quick_or_long.py

    curl -i -X POST http://127.0.0.1:5000/factors/1001               200, with the result
    curl -i -X POST http://127.0.0.1:5000/factors/100000980001501    202, Location: /jobs/<id>

One view, one line: ``job.accepted(wait=0.5)`` waits half a second for the job to be done.
"""

import math
import os

from flask import Flask, Response

from flask_backburner import Backburner, current_job

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task
def factorise(number: int) -> list[int]:
    """Take ``number`` apart into primes by trial division."""
    factors, divisor = [], 2
    while divisor * divisor <= number:
        current_job.progress(divisor, math.isqrt(number), "Trying divisors")
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, number] if number > 1 else factors


@app.post("/factors/<int:number>")
def factors(number: int) -> Response:
    return factorise.delay(number).accepted(wait=0.5)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
