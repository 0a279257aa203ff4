"""Submit: run an ordinary function in the background, as with ``ThreadPoolExecutor.submit``.

    python examples/submit.py

    curl -i -X POST http://127.0.0.1:5000/chains/300000    202, Location: /jobs/<id>
    curl http://127.0.0.1:5000/jobs/<id>                   {"state": "succeeded", "result": …}

The function needs no decorator, and unlike a pool's future the job survives a restart, has a
status that every process can see, and knows how far it is. Functions of the app's own package may
be submitted; ``BACKBURNER_SUBMIT`` names others.
"""

import os
from itertools import count

from flask import Flask

from flask_backburner import Backburner, Job, current_job

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)


def longest_chain(limit: int) -> dict[str, int]:
    """Find the number below ``limit`` that takes the most steps of Collatz to get to 1."""
    steps = {1: 0}
    for start in current_job.track(range(1, limit), message="Following chains"):
        path, number = [], start
        while number not in steps:
            path.append(number)
            number = number // 2 if number % 2 == 0 else 3 * number + 1
        steps.update(zip(reversed(path), count(steps[number] + 1), strict=False))
    best = max(range(1, limit), key=steps.__getitem__)
    return {"start": best, "steps": steps[best]}


@app.post("/chains/<int:limit>")
def start(limit: int) -> Job[dict[str, int]]:
    return tasks.submit(longest_chain, max(2, min(limit, 3_000_000)))


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
