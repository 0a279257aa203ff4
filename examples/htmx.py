"""htmx: a bar that replaces itself, asked for again and again until its job is done.

    python examples/htmx.py

Open http://127.0.0.1:5000. For htmx itself put htmx.min.js into a folder ``static`` and load it
in place of the stand-in, a few lines that know what the fragment says: ``hx-get``, ``load
delay``, ``outerHTML``, and that status 286 ends it.
"""

import os

from flask import Flask, Response, render_template_string

from flask_backburner import Backburner, current_job

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task
def perfect_numbers(limit: int) -> str:
    """Find the numbers that are the sum of their divisors."""
    sums = [0] * limit
    for divisor in current_job.track(range(1, limit), message="Adding up divisors"):
        for multiple in range(2 * divisor, limit, divisor):
            sums[multiple] += divisor
    return ", ".join(str(n) for n in range(1, limit) if sums[n] == n)


@app.post("/start")
def start() -> str:
    job = perfect_numbers.delay(300_000)
    return f'<div hx-get="/jobs/{job.id}/fragment" hx-trigger="load" hx-swap="outerHTML"></div>'


@app.get("/")
def page() -> str:
    return render_template_string(PAGE)


@app.get("/stand-in.js")
def stand_in() -> Response:
    return Response(STAND_IN, mimetype="text/javascript")


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Perfect numbers</title>
<link rel="stylesheet" href="{{ url_for('backburner.static_file', filename='backburner.css') }}">
<script type="module" src="{{ url_for('stand_in') }}"></script>
<body class="backburner-page">
<main>
  <h1>Perfect numbers</h1>
  <p><button hx-post="{{ url_for('start') }}" hx-target="#job">Find them</button></p>
  <div class="backburner-card" id="job"></div>
</main>"""

STAND_IN = """
async function load(url, method, target, swap) {
  const answer = await fetch(url, { method });
  target[swap] = await answer.text();
  if (answer.status == 286) return;
  for (const next of document.querySelectorAll("[hx-get]:not([data-seen])")) {
    const delay = /delay:(\\d+)ms/.exec(next.getAttribute("hx-trigger"))?.[1] ?? 0;
    next.dataset.seen = "";
    setTimeout(() => load(next.getAttribute("hx-get"), "GET", next, "outerHTML"), delay);
  }
}
const target = document.querySelector("#job");
document.querySelector("button").onclick = () => load("/start", "POST", target, "innerHTML");
"""

if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
