"""Many bars: twenty jobs on a page, each with its bar; all of them share one connection.

    python examples/many_bars.py

Open http://127.0.0.1:5000 and start twenty jobs; four run at a time, the others wait in line and
say which number they have. Reload the page, or open it twice: it shows the same.
"""

import os

from flask import Flask, redirect, render_template_string, url_for
from werkzeug.wrappers import Response

from flask_backburner import Backburner, current_job

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)

SLICE = 30_000


@tasks.task
def count_primes(slice: int) -> int:
    """Count the primes in one slice of the numbers."""
    numbers = range(slice * SLICE, (slice + 1) * SLICE)
    return sum(map(is_prime, current_job.track(numbers, message=f"From {numbers.start:,} on")))


def is_prime(n: int) -> bool:
    return n > 1 and all(n % divisor for divisor in range(2, int(n**0.5) + 1))


@app.post("/start")
def start() -> Response:
    count_primes.map([(slice,) for slice in range(20)])
    return redirect(url_for("page"), 303)


@app.get("/")
def page() -> str:
    jobs = tasks.jobs(task=count_primes, limit=20)
    return render_template_string(PAGE, jobs=jobs[::-1])


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Twenty bars</title>
{{ backburner.script() }}
<body class="backburner-page">
<main>
  <h1>Twenty bars</h1>
  <form class="backburner-card" action="{{ url_for('start') }}" method="post">
    <button>Start twenty jobs</button>
  </form>
  {% for job in jobs %}
  <div class="backburner-card">{{ backburner.progress(job, "Slice " ~ loop.index) }}</div>
  {% endfor %}
</main>"""

if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
