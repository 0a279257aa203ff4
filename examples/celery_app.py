"""An app written for Celery, with its own status route and JavaScript: only the import is changed.

    python examples/celery_app.py

Open http://127.0.0.1:5000 and press the button. No broker, no second terminal: the addresses of
Redis below are not used. Try also:

    curl -i -X POST http://127.0.0.1:5000/longtask          202, Location: /status/<id>
    curl http://127.0.0.1:5000/status/<id>                  {"state": "PROGRESS", "current": 41, …}
"""

import os
from math import isqrt

from flask import Flask, jsonify, render_template_string, url_for

from flask_backburner.celery_compat import Celery  # was: from celery import Celery

app = Flask(__name__)
app.config["CELERY_BROKER_URL"] = "redis://localhost:6379/0"
app.config["CELERY_RESULT_BACKEND"] = "redis://localhost:6379/0"
app.config.from_prefixed_env()

PART = 4_000

celery = Celery(app.name, broker=app.config["CELERY_BROKER_URL"])
celery.conf.update(app.config)


@celery.task(bind=True)
def long_task(self, steps):
    """Count primes in so many parts, and say how far it is."""
    found = 0
    for step in range(steps):
        status = f"Step {step + 1} of {steps}"
        self.update_state(
            state="PROGRESS", meta={"current": step, "total": steps, "status": status}
        )
        found += sum(is_prime(number) for number in range(step * PART, (step + 1) * PART))
    return {"current": steps, "total": steps, "status": "All steps are done", "result": found}


def is_prime(number):
    return number > 1 and all(number % each for each in range(2, isqrt(number) + 1))


@app.get("/")
def index():
    return render_template_string(PAGE)


@app.post("/longtask")
def start_long_task():
    task = long_task.apply_async(args=[100])
    return jsonify({}), 202, {"Location": url_for("task_status", task_id=task.id)}


@app.get("/status/<task_id>")
def task_status(task_id):
    task = long_task.AsyncResult(task_id)
    if task.state == "FAILURE":
        return jsonify(state=task.state, current=1, total=1, status=str(task.info))
    return jsonify({"state": task.state, "current": 0, "total": 1, **(task.info or {})})


PAGE = """
<!doctype html>
<title>Long task</title>
<button>Start</button>
<p><progress value="0"></progress> <span role="status">Not started</span></p>
<script>
  document.querySelector("button").onclick = async () => {
    const started = await fetch("{{ url_for('start_long_task') }}", {method: "POST"});
    look(started.headers.get("Location"));
  };
  async function look(address) {
    const task = await (await fetch(address)).json();
    const bar = document.querySelector("progress");
    bar.max = task.total;
    bar.value = task.current;
    document.querySelector("span").textContent = task.status || task.state;
    if (!["SUCCESS", "FAILURE"].includes(task.state)) setTimeout(look, 200, address);
  }
</script>
"""

if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
