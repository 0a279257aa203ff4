"""Never run, only checked: a background view keeps its parameters.

Each ``type: ignore`` is a check of its own: mypy complains of one that is not needed.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Flask, Response

from flask_backburner import Backburner

app = Flask(__name__)
tasks = Backburner(app)


@app.get("/report/<int:year>")
@tasks.background(wait=0.5, queue="reports")
def report(year: int) -> dict[str, int]:
    return {"year": year}


@app.get("/bare")
@tasks.background
def bare() -> tuple[str, int]:
    return "bare", 201


@app.get("/later")
@tasks.background(wait=timedelta(seconds=1))
async def later() -> Response:
    return Response("later")


@tasks.background  # type: ignore[arg-type]
def no_view() -> object:
    return object()


def a_view_takes_what_it_took() -> None:
    report(2026)
    report("2026")  # type: ignore[arg-type]
    report()  # type: ignore[call-arg]
