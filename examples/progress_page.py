"""A progress page: a button starts the work, a bar follows it to its result, failure or cancel.

    python examples/progress_page.py

Open http://127.0.0.1:5000 and ask for digits of π. The button sends a POST, which is answered
202 with a Location; ``<job-progress>`` follows that address. Without JavaScript the same form
leads to the job's own page. Ask for 0 digits to see a failure.
"""

import os
from collections.abc import Iterator
from itertools import islice

from flask import Flask, Response, render_template_string, request

from flask_backburner import Backburner, Job, JobError, current_job

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task
def digits_of_pi(count: int) -> str:
    """Compute so many digits, one after the other."""
    if not 1 <= count <= 20_000:
        raise JobError(f"{count} digits cannot be had; ask for 1 to 20,000.")
    digits = islice(pi(), count)
    return "".join(map(str, current_job.track(digits, total=count, message="Computing π")))


def pi() -> Iterator[int]:
    """Yield the digits of π for ever (the spigot of Gibbons, 2006)."""
    q, r, t, k, n, m = 1, 0, 1, 1, 3, 3
    while True:
        if 4 * q + r - t < n * t:
            yield n
            q, r, n = 10 * q, 10 * (r - n * t), 10 * (3 * q + r) // t - 10 * n
        else:
            n = (q * (7 * k + 2) + r * m) // (t * m)
            q, r, t, k, m = q * k, (2 * q + r) * m, t * m, k + 1, m + 2


@app.post("/digits")
def start() -> Job[str]:
    return digits_of_pi.delay(request.form.get("count", type=int, default=0))


@app.get("/")
def page() -> str:
    return render_template_string(PAGE)


@app.get("/page.js")
def script() -> Response:
    return Response(SCRIPT, mimetype="text/javascript")


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Digits of π</title>
{{ backburner.script() }}
<script type="module" src="{{ url_for('script') }}"></script>
<body class="backburner-page">
<main>
  <h1>Digits of π</h1>
  <form class="backburner-card" action="{{ url_for('start') }}" method="post">
    <label>How many? <input name="count" type="number" value="8000" required></label>
    <button>Compute</button>
  </form>
  <div id="jobs"></div>
</main>
</body>
</html>"""

SCRIPT = """
const form = document.querySelector("form");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = { Accept: "application/json" };
  const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers });
  const card = document.createElement("div");
  const bar = document.createElement("job-progress");
  card.className = "backburner-card";
  bar.setAttribute("src", answer.headers.get("Location"));
  card.append(bar);
  document.querySelector("#jobs").prepend(card);
});
"""

if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
