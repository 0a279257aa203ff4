"""An application factory with ``FlaskTask`` and shared tasks, as Flask's documentation has it."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask

from apps.celery_factory_tasks import views
from apps.celery_imports import celery as package

Celery, Task = package().Celery, package().Task


def celery_init_app(app: Flask) -> Any:
    class FlaskTask(Task):  # type: ignore[misc]  # which package it is from is the test's choice
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


def create_app() -> Flask:
    app = Flask("factory", instance_path=os.environ["CELERY_APP_FOLDER"])
    redis = os.environ.get("REDIS_FOR_CELERY", "redis://localhost")
    app.config.from_mapping(
        CURRENCY="EUR",
        CELERY={"broker_url": redis, "result_backend": redis, "task_ignore_result": True},
    )
    app.config.from_prefixed_env()
    celery_init_app(app)
    app.register_blueprint(views)
    return app
