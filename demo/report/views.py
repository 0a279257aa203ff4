"""The pages of the part *Report*."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response as BaseResponse

from demo.report.shelf import Report, Shelf
from demo.report.task import make_report
from demo.tasks import tasks
from demo.upload import shown_name
from demo.visitor import visitor
from flask_backburner import Job, JobNotFound

SAMPLE = Path(__file__).parent.parent / "data" / "timezones.csv"
ENCODINGS = {"utf-8": "UTF-8", "cp1252": "Windows-1252"}
KEPT_REPORTS = 30
SUMMARY_HEADER = ["column", "kind", "values", "empty", "distinct", "min", "max", "mean"]

report = Blueprint("report", __name__)


@report.get("/")
def index() -> str:
    entries = [(one, job_of(one)) for one in shelf().of(visitor())]
    sample = {"size": SAMPLE.stat().st_size, "name": SAMPLE.name}
    return render_template("report/index.html", entries=entries, sample=sample, encodings=ENCODINGS)


@report.post("/reports")
def upload() -> BaseResponse:
    file = request.files.get("file")
    if file is None or not file.filename:
        flash("Choose a CSV file first.")
        return redirect(url_for(".index"), 303)
    encoding = request.form.get("encoding", "utf-8")
    if encoding not in ENCODINGS:
        abort(400, f"Unknown encoding; choose one of {', '.join(ENCODINGS)}.")
    return begin(save(file), shown_name(file.filename, "unnamed.csv"), encoding)


@report.post("/reports/sample")
def take_sample() -> BaseResponse:
    return begin(SAMPLE, SAMPLE.name, "utf-8", shelf().new_folder())


@report.get("/reports/<id>")
def show(id: str) -> str:
    one = own_report(id)
    job = job_of(one)
    summary = read_summary(one) if job is None or job.state == "succeeded" else None
    return render_template("report/show.html", report=one, job=job, summary=summary)


@report.post("/reports/<id>/again")
def again(id: str) -> BaseResponse:
    one = own_report(id)
    if is_over(job_of(one)):
        job = make_report.delay(one.source, one.encoding, one.folder)
        shelf().change_job(one, job.id)
    return redirect(url_for(".show", id=id), 303)


@report.post("/reports/<id>/delete")
def delete(id: str) -> BaseResponse:
    one = own_report(id)
    if not is_over(job_of(one)):
        flash("This report is still being made. Cancel it first, then delete it.")
        return redirect(url_for(".show", id=id), 303)
    shelf().remove(one)
    return redirect(url_for(".index"), 303)


@report.get("/reports/<id>/summary.json")
def summary_json(id: str) -> Response:
    one = own_report(id)
    text = json.dumps(own_summary(one), ensure_ascii=False, indent=2)
    return download(text, "application/json", f"{stem(one)}-summary.json")


@report.get("/reports/<id>/summary.csv")
def summary_csv(id: str) -> Response:
    one = own_report(id)
    return download(as_csv(own_summary(one)), "text/csv", f"{stem(one)}-summary.csv")


def begin(source: Path, name: str, encoding: str, folder: Path | None = None) -> BaseResponse:
    """Start the job of a new report and go to its page."""
    folder = folder or source.parent
    job = make_report.delay(source, encoding, folder)
    now = datetime.now(UTC)
    one = Report(
        id=folder.name,
        visitor=visitor(),
        name=name,
        size=source.stat().st_size,
        encoding=encoding,
        source=source,
        job=job.id,
        created_at=now,
        folder=folder,
    )
    shelf().add(one)
    clear_shelf()
    return redirect(url_for(".show", id=one.id), 303)


def save(file: FileStorage) -> Path:
    path = shelf().new_folder() / "upload.csv"
    file.save(path)
    return path


def clear_shelf() -> None:
    """Remove the visitor's oldest reports, so that the folder does not grow for ever."""
    for one in shelf().of(visitor())[KEPT_REPORTS:]:
        if is_over(job_of(one)):
            shelf().remove(one)


def shelf() -> Shelf:
    return Shelf(Path(current_app.instance_path))


def own_report(id: str) -> Report:
    return shelf().get(visitor(), id) or abort(404)


def job_of(report: Report) -> Job[Any] | None:
    """Return the report's job; None once it is forgotten."""
    try:
        return tasks.job(report.job)
    except JobNotFound:
        return None


def is_over(job: Job[Any] | None) -> bool:
    return job is None or job.done


def read_summary(report: Report) -> dict[str, Any] | None:
    try:
        summary: dict[str, Any] = json.loads(report.summary.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return summary


def own_summary(report: Report) -> dict[str, Any]:
    return read_summary(report) or abort(404)


def as_csv(summary: dict[str, Any]) -> str:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([*SUMMARY_HEADER, "most frequent"])
    for column in summary["columns"]:
        frequent = "; ".join(f"{value} ({times})" for value, times in column["frequent"])
        facts = ("name", "kind", "count", "empty", "distinct", "min", "max", "mean")
        table.writerow([*(column[fact] for fact in facts), frequent])
    return text.getvalue()


def download(text: str, type: str, name: str) -> Response:
    data = io.BytesIO(text.encode())
    return send_file(data, mimetype=type, as_attachment=True, download_name=name)


def stem(report: Report) -> str:
    return Path(report.name).stem or "report"
