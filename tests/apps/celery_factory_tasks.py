"""Shared tasks, and the views that start them; neither knows the app or a Celery object."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app, request

from apps.celery_imports import celery as package

shared_task = package().shared_task
AsyncResult = package(".result").AsyncResult
get_task_logger = package(".utils.log").get_task_logger

logger = get_task_logger(__name__)
views = Blueprint("tasks", __name__, url_prefix="/tasks")


@shared_task(ignore_result=False)
def add(a: int, b: int) -> int:
    return a + b


@shared_task()
def silent() -> str:
    """Its result is not kept, as the settings say."""
    return "nobody hears this"


@shared_task(bind=True, ignore_result=False)
def price(self: Any, amount: int) -> str:
    """Needs the app's configuration, which FlaskTask gives it."""
    logger.info("Pricing %d", amount)
    return f"{amount} {current_app.config['CURRENCY']} for {self.request.args}"


@views.get("/result/<id>")
def result(id: str) -> dict[str, object]:
    found = AsyncResult(id)
    ready = found.ready()
    return {
        "ready": ready,
        "successful": found.successful() if ready else None,
        "value": found.get() if ready else found.result,
    }


@views.post("/add")
def start_add() -> dict[str, object]:
    started = add.delay(request.json["a"], request.json["b"])
    return {"result_id": started.id}


@views.post("/price/<int:amount>")
def start_price(amount: int) -> dict[str, object]:
    return {"result_id": price.delay(amount).id}


@views.post("/silent")
def start_silent() -> dict[str, object]:
    return {"result_id": silent.delay().id}
