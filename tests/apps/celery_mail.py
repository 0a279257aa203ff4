"""Mail later, with the ``ContextTask`` that older tutorials put in place of ``celery.Task``."""

from __future__ import annotations

import mailbox
import os
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from flask import Flask, current_app, redirect, request

from apps.celery_imports import celery as package

Celery = package().Celery


def make_celery(app: Flask) -> Any:
    celery = Celery(
        app.import_name,
        backend=app.config["CELERY_RESULT_BACKEND"],
        broker=app.config["CELERY_BROKER_URL"],
    )
    celery.conf.update(app.config)
    TaskBase = celery.Task

    class ContextTask(TaskBase):  # type: ignore[misc,valid-type]  # a class of either package
        abstract = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                return TaskBase.__call__(self, *args, **kwargs)

    celery.Task = ContextTask
    return celery


app = Flask(__name__, instance_path=os.environ["CELERY_APP_FOLDER"])
app.config.update(
    CELERY_BROKER_URL=os.environ.get("REDIS_FOR_CELERY", "redis://localhost:6379"),
    CELERY_RESULT_BACKEND=os.environ.get("REDIS_FOR_CELERY", "redis://localhost:6379"),
    MAIL_DEFAULT_SENDER="flask@example.com",
    MAIL_FOLDER=os.environ["CELERY_APP_FOLDER"],
)
app.config.from_prefixed_env()
celery = make_celery(app)


@celery.task
def send_async_email(email_data: dict[str, Any]) -> None:
    """Deliver a mail into a mailbox; when, stands in its header."""
    message = EmailMessage()
    message["Subject"] = email_data["subject"]
    message["From"] = current_app.config["MAIL_DEFAULT_SENDER"]
    message["To"] = email_data["to"]
    message["Sent-At"] = str(time.time())
    message.set_content(email_data["body"])
    box = mailbox.mbox(Path(current_app.config["MAIL_FOLDER"]) / "outbox")
    box.add(message)
    box.close()


@app.route("/", methods=["POST"])
def index() -> Any:
    email_data = {
        "subject": "Hello from Flask",
        "to": request.form["email"],
        "body": "This is a test email sent from a background task.",
    }
    if request.form["submit"] == "Send":
        send_async_email.delay(email_data)
    else:
        send_async_email.apply_async(args=[email_data], countdown=2)
    return redirect("/")
