"""An app whose jobs walk past a latch, and a page with the bars of many."""

from __future__ import annotations

import os

from flask import Flask, render_template_string, request

from flask_backburner import Backburner, Job, current_job
from support.latch import pass_latch

FOLDER = "PARADE"
STEPS = 10

app = Flask("parade", instance_path=os.environ[FOLDER])
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task
def march() -> dict[str, int]:
    """Report and log, then wait at the latch, for each step."""
    for step in range(1, STEPS + 1):
        current_job.log(f"Step {step}")
        current_job.progress(step, STEPS)
        pass_latch()
    return {"steps": STEPS}


@app.post("/start")
def start() -> Job[dict[str, int]]:
    return march.delay()


@app.get("/bars")
def bars() -> str:
    jobs = [tasks.job(id) for id in request.args.getlist("id")]
    return render_template_string(PAGE, jobs=jobs)


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Parade</title>
{{ backburner.script() }}
{% for job in jobs %}
{% call backburner.progress(job) %}<b data-when="succeeded">There!</b>{% endcall %}
{% endfor %}
{{ backburner.log(jobs[0]) }}
</html>"""
