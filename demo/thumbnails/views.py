"""The pages of the part *Thumbnails*. An album is its job: nothing else is kept of it."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from demo.tasks import tasks
from demo.thumbnails.task import DOWNLOAD, Album, make_thumbnails
from demo.upload import shown_name
from demo.visitor import visitor
from flask_backburner import Job, JobNotFound

SAMPLE = Path(__file__).parent.parent / "data" / "pictures.zip"
SIDES = {320: "small", 640: "medium", 1280: "large"}
LARGEST_UPLOAD = 200_000_000
UPLOAD_KEPT = 24 * 3600.0

thumbnails = Blueprint("thumbnails", __name__, url_prefix="/thumbnails")


@thumbnails.get("/")
def index() -> str:
    return render_template(
        "thumbnails/index.html",
        albums=own_albums(),
        sample={"name": SAMPLE.name, "size": SAMPLE.stat().st_size},
        sides=SIDES,
        limit=upload_limit(),
    )


@thumbnails.post("/")
def upload() -> Response:
    request.max_content_length = upload_limit()
    file = request.files.get("file")
    if file is None or not file.filename:
        flash("Choose a zip archive first.")
        return redirect(url_for(".index"), 303)
    path = uploads() / f"{secrets.token_urlsafe(12)}.zip"
    file.save(path)
    return begin(path, shown_name(file.filename, "pictures.zip"))


@thumbnails.post("/sample")
def take_sample() -> Response:
    return begin(SAMPLE, SAMPLE.name)


@thumbnails.get("/<id>")
def show(id: str) -> str:
    job = own_album(id)
    files = {file["name"]: file for file in job.document()["files"]}
    album = job.result if job.state == "succeeded" else None
    return render_template(
        "thumbnails/show.html", job=job, album=album, files=files, download=files.get(DOWNLOAD)
    )


def begin(path: Path, name: str) -> Response:
    """Start the job of a new album and go to its page."""
    side = request.form.get("side", 640, type=int)
    if side not in SIDES:
        abort(400, f"Unknown size; choose one of {', '.join(map(str, SIDES))}.")
    job = make_thumbnails.delay(path, name, side)
    return redirect(url_for(".show", id=job.id), 303)


def own_albums() -> list[Job[Album]]:
    """List the visitor's albums, newest first."""
    jobs = tasks.jobs(owner=visitor(), limit=200)
    return [job for job in jobs if job.task == make_thumbnails.name][:30]


def own_album(id: str) -> Job[Album]:
    try:
        job = tasks.job(id)
    except JobNotFound:
        abort(404)
    if job.task != make_thumbnails.name or job.record.owner != visitor():
        abort(404)
    return job


def upload_limit() -> int:
    limit: int = current_app.config["MAX_CONTENT_LENGTH"]
    return min(LARGEST_UPLOAD, limit)


def uploads() -> Path:
    """Give the folder of uploads, without those that no job needs any more."""
    folder = Path(current_app.instance_path) / "uploads"
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.zip"):
        if path.stat().st_mtime < time.time() - UPLOAD_KEPT:
            path.unlink(missing_ok=True)
    return folder
