"""An app with accounts by Flask-Login: each member starts jobs of their own."""

from __future__ import annotations

import os

from flask import Flask
from flask_login import LoginManager, UserMixin, login_user

from flask_backburner import Backburner, Job

app = Flask("members", instance_path=os.environ["MEMBERS"])
app.config["SECRET_KEY"] = "of no importance"
app.config["BACKBURNER_APP"] = "apps.members:app"
accounts = LoginManager(app)
tasks = Backburner(app)


class Member(UserMixin):  # type: ignore[misc]  # the package has no types
    def __init__(self, id: str) -> None:
        self.id = id


accounts.user_loader(Member)


@tasks.task
def add(a: int, b: int) -> int:
    return a + b


@app.get("/login/<name>")
def login(name: str) -> str:
    login_user(Member(name))
    return name


@app.post("/start")
def start() -> Job[int]:
    return add.delay(1, 2)


@app.post("/forget")
def forget() -> str:
    return str(tasks.purge(0))
