"""A long task with a progress bar: one module, ``update_state``, a status route of its own.

The tasks pass latches, so that a test sees each state.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, jsonify, request, url_for

from apps.celery_imports import celery as package
from support.latch import pass_latch

Celery = package().Celery

app = Flask(__name__, instance_path=os.environ["CELERY_APP_FOLDER"])
app.config.from_prefixed_env()
app.config["SECRET_KEY"] = "top-secret"
app.config["CELERY_BROKER_URL"] = os.environ.get("REDIS_FOR_CELERY", "redis://localhost:6379/0")
app.config["CELERY_RESULT_BACKEND"] = app.config["CELERY_BROKER_URL"]

celery = Celery(app.name, broker=app.config["CELERY_BROKER_URL"])
celery.conf.update(app.config)


@celery.task(bind=True)
def long_task(self: Any) -> Any:
    """Counts to ten, and waits at the fifth and at the end."""
    total = 10
    for i in range(total):
        self.update_state(
            state="PROGRESS", meta={"current": i, "total": total, "status": f"Polishing {i}"}
        )
        if i == 5:
            pass_latch("half")
    return {"current": 100, "total": 100, "status": "Task completed!", "result": 42}


@celery.task
def divide(a: int, b: int) -> Any:
    return a / b


@app.route("/longtask", methods=["POST"])
def start_long_task() -> Any:
    task = long_task.apply_async()
    return jsonify({}), 202, {"Location": url_for("task_status", task_id=task.id)}


@app.route("/divide", methods=["POST"])
def start_divide() -> Any:
    task = divide.delay(request.json["a"], request.json["b"])
    return jsonify({}), 202, {"Location": url_for("task_status", task_id=task.id)}


@app.route("/status/<task_id>")
def task_status(task_id: str) -> Any:
    task = long_task.AsyncResult(task_id)
    if task.state == "PENDING":
        response = {"state": task.state, "current": 0, "total": 1, "status": "Pending..."}
    elif task.state != "FAILURE":
        response = {
            "state": task.state,
            "current": task.info.get("current", 0) if isinstance(task.info, dict) else task.info,
            "total": task.info.get("total", 1) if isinstance(task.info, dict) else 1,
            "status": task.info.get("status", "") if isinstance(task.info, dict) else "",
        }
        if isinstance(task.info, dict) and "result" in task.info:
            response["result"] = task.info["result"]
    else:
        response = {"state": task.state, "current": 1, "total": 1, "status": str(task.info)}
    return jsonify(response)
