"""Call and go on: a view starts the work and answers at once.

    python examples/call_async.py

    curl -i http://127.0.0.1:5000/stamps -d text=hello           answers within milliseconds
    curl -i http://127.0.0.1:5000/stamps/<id>                    404 until the stamp is there

The work is a stamp as e-mail was once to carry against spam: a number that makes the text's
SHA-256 begin with five zeros, found only by trying.
"""

import hashlib
import itertools
import os

from flask import Flask, abort, request, url_for

from flask_backburner import Backburner, JobNotFound, current_job

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)


@tasks.task
def stamp(text: str, zeros: int = 5) -> str:
    """Find a number that gives the hash of ``text`` so many leading zeros."""
    for number in current_job.track(itertools.count(), message="Trying numbers"):
        stamped = f"{text}:{number}"
        if hashlib.sha256(stamped.encode()).hexdigest().startswith("0" * zeros):
            return stamped
    raise AssertionError("there are enough numbers")


@app.post("/stamps")
def order() -> tuple[dict[str, str], int]:
    job = stamp.delay(request.form["text"])
    return {"message": "Your stamp is being made.", "stamp": url_for("collect", id=job.id)}, 202


@app.get("/stamps/<id>")
def collect(id: str) -> dict[str, str]:
    try:
        job = tasks.job(id)
    except JobNotFound:
        abort(404, "No such stamp was ordered.")
    if job.state != "succeeded":
        abort(404, "The stamp is not ready yet.")
    return {"stamp": job.result}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
