"""Tasks that are tried again: by ``autoretry_for``, by ``self.retry``, up to a limit."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, jsonify

from apps.celery_imports import celery as package

Celery = package().Celery
AsyncResult = package(".result").AsyncResult

app = Flask(__name__, instance_path=os.environ["CELERY_APP_FOLDER"])
app.config.from_prefixed_env()
redis = os.environ.get("REDIS_FOR_CELERY", "redis://localhost")
celery = Celery(__name__, broker=redis, backend=redis)


class Unreachable(Exception):
    """What the tasks fail by."""


@celery.task(
    bind=True,
    autoretry_for=(Unreachable,),
    retry_backoff=True,
    retry_backoff_max=1,
    retry_jitter=False,
    retry_kwargs={"max_retries": 5},
)
def fetch(self: Any, failures: int) -> str:
    """Fails so many times."""
    if self.request.retries < failures:
        raise Unreachable(f"try {self.request.retries}")
    return f"fetched after {self.request.retries} retries"


@celery.task(bind=True, max_retries=2, default_retry_delay=1)
def hopeless(self: Any) -> None:
    try:
        raise Unreachable(f"try {self.request.retries}")
    except Unreachable as error:
        raise self.retry(exc=error) from None


@celery.task(bind=True, default_retry_delay=3600)
def patient(self: Any) -> None:
    """Waits for an hour before its second try."""
    raise self.retry(exc=Unreachable("not today"), max_retries=10)


TASKS = {"fetch": fetch, "hopeless": hopeless, "patient": patient}


@app.route("/start/<name>/<int:number>", methods=["POST"])
def start(name: str, number: int) -> Any:
    args = (number,) if name == "fetch" else ()
    return jsonify(id=TASKS[name].apply_async(args).id)


@app.route("/status/<id>")
def status(id: str) -> Any:
    found = AsyncResult(id, app=celery)
    info = found.info
    return jsonify(
        state=found.state,
        info=f"{type(info).__name__}: {info}" if isinstance(info, Exception) else info,
    )
