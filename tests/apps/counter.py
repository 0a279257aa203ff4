"""An ordinary app with a slow view: a login, a form with a file, a page, a redirect, a 404.

``BACKGROUND`` in the environment puts the one decorator on the view; its value is ``wait``.
"""

from __future__ import annotations

import os

import flask_login
from flask import (
    Flask,
    abort,
    flash,
    redirect,
    render_template_string,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue

from flask_backburner import Backburner, current_job
from support.latch import pass_latch

LAYOUT = """<!doctype html><html lang="en"><title>Counter</title>
{% for message in get_flashed_messages() %}<p id="flash">{{ message }}</p>{% endfor %}
<main>{{ text }}</main>"""
FORM = (
    LAYOUT
    + """<form method="post" action="{{ url_for('count') }}" enctype="multipart/form-data">
<input name="title"><input name="file" type="file">
<input name="hold"><input name="then"><button>Count</button></form>"""
)

app = Flask(__name__)
app.secret_key = "not for production"
app.config.from_prefixed_env()
tasks = Backburner(app)
manager = flask_login.LoginManager(app)


class User(flask_login.UserMixin):
    def __init__(self, id: str) -> None:
        self.id = id


manager.user_loader(User)


def page(text: str, template: str = LAYOUT) -> str:
    return render_template_string(template, text=text)


@app.get("/login/<id>")
def login(id: str) -> ResponseReturnValue:
    flask_login.login_user(User(id))
    return redirect(url_for("form"))


@app.get("/")
@flask_login.login_required
def form() -> str:
    return page(f"{session.get('counted', 0)} lines so far", FORM)


@flask_login.login_required
def count() -> ResponseReturnValue:
    """The slow view."""
    file = request.files["file"]
    lines = file.read().count(b"\n")
    if request.form["hold"]:
        current_job.progress(1, 4, f"Counting {file.filename}")
        pass_latch()
    if request.form["then"] == "break":
        raise ZeroDivisionError("a secret")
    if not lines:
        abort(404, "There is nothing to count.")
    session["counted"] = session.get("counted", 0) + lines
    if request.form["then"] == "redirect":
        flash(f"Counted {lines} lines")
        return redirect(url_for("form"))
    user = flask_login.current_user.id
    return page(f"{user} has {lines} lines in {file.filename}, called {request.form['title']}")


if "BACKGROUND" in os.environ:
    count = tasks.background(wait=float(os.environ["BACKGROUND"]))(count)
app.add_url_rule("/count", "count", count, methods=["POST"])
