"""Tasks that run for too long, or until they are revoked."""

from __future__ import annotations

import os
import threading
from typing import Any

from flask import Flask, jsonify

from apps.celery_imports import celery as package
from support.journal import noted

Celery = package().Celery
SoftTimeLimitExceeded = package(".exceptions").SoftTimeLimitExceeded

app = Flask(__name__, instance_path=os.environ["CELERY_APP_FOLDER"])
app.config.from_prefixed_env()
celery = Celery(app.name)
celery.conf.update(app.config)


def work_on(task: Any) -> None:
    """Goes on for ever, telling of itself."""
    rest, beat = threading.Event(), 0
    while not rest.wait(0.01):
        beat += 1
        task.update_state(state="BUSY", meta={"current": beat})


@celery.task(bind=True)
def endless(self: Any) -> None:
    with noted("endless"):
        work_on(self)


@celery.task(bind=True, time_limit=3600)
def endless_apart(self: Any) -> None:
    with noted("endless_apart"):
        work_on(self)


@celery.task(bind=True, soft_time_limit=0.5)
def polite(self: Any) -> str:
    try:
        work_on(self)
    except SoftTimeLimitExceeded:
        return "tidied up"
    return "never"


@celery.task(bind=True, soft_time_limit=0.5)
def careless(self: Any) -> None:
    work_on(self)


@celery.task(time_limit=1)
def stuck() -> None:
    with noted("stuck"):
        threading.Event().wait()


@app.post("/start/<name>")
def start(name: str) -> Any:
    return jsonify(id=celery.tasks[f"{__name__}.{name}"].delay().id)


@app.post("/revoke/<id>")
def revoke(id: str) -> Any:
    celery.control.revoke(id, terminate=True)
    return jsonify(id=id)


@app.get("/status/<id>")
def status(id: str) -> Any:
    result = celery.AsyncResult(id)
    state, info = result.state, result.info
    if isinstance(info, Exception):
        info = f"{type(info).__name__}: {info}"
    return jsonify(state=state, info=info if result.ready() else None)
