"""E-mail later: a message that leaves a minute after it was asked for, unless it is cancelled.

    python examples/email_later.py
    SMTP_HOST=mail.example.org python examples/email_later.py

    curl -i http://127.0.0.1:5000/messages -d to=you@example.org -d text="Time for tea"
    curl -i -X POST http://127.0.0.1:5000/jobs/<id>/cancel

Without ``SMTP_HOST`` messages go to the folder ``mail`` beside the jobs, a maildir that mail
programs can open. A restart in that minute loses nothing.
"""

import mailbox
import os
import smtplib
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from flask import Flask, abort, current_app, request

from flask_backburner import Backburner, Job, current_job

app = Flask(__name__)
app.config.from_mapping(DELAY=60, SENDER="reminder@example.org")
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task
def send(to: str, text: str) -> str:
    message = EmailMessage()
    message["From"], message["To"] = current_app.config["SENDER"], to
    message["Subject"], message["Date"] = "A reminder", formatdate(localtime=True)
    message["Message-ID"] = make_msgid(current_job.id, domain="example.org")
    message.set_content(text)
    if host := os.environ.get("SMTP_HOST"):
        with smtplib.SMTP(host, int(os.environ.get("SMTP_PORT", "25")), timeout=30) as server:
            server.send_message(message)
        return f"sent by {host}"
    folder = Path(current_app.instance_path) / "mail"
    return f"put into {folder} as {mailbox.Maildir(folder).add(message)}"


@app.post("/messages")
def write() -> Job[str]:
    to, text = request.form.get("to", ""), request.form.get("text", "")
    if "@" not in to or not to.isprintable():
        abort(400, "Say to whom: to=you@example.org")
    return send.using(countdown=app.config["DELAY"]).delay(to, text)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
