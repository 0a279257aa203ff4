"""Download: a job's result file, sent so that no browser runs what is in it."""

from __future__ import annotations

from flask import Response, request, send_file
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from ..answer import private
from ..installation import Installation
from ..record import JobFile
from .access import visible_job
from .problem import Problem

POLICY = "default-src 'none'; sandbox"


def download(installation: Installation, id: str, name: str) -> Response:
    """The file of this name that the job attached; never one that is kept for ourselves."""
    record = visible_job(installation, id)
    for file in installation.store.files(record.id):
        if file.name == name and not name.startswith("."):
            return file_response(installation, record.id, file)
    raise _no_file()


def file_response(installation: Installation, id: str, file: JobFile) -> Response:
    """A file to be saved: the whole, a range of it, or 304 for what the client has."""
    path = installation.files.path(id, file.name)
    try:
        response = send_file(
            path,
            file.type,
            as_attachment=True,
            download_name=file.name,
            conditional=True,
        )
    except FileNotFoundError:
        installation.app.logger.error("The file %s of job %s is gone: %s", file.name, id, path)
        raise _no_file() from None
    except RequestedRangeNotSatisfiable as error:
        raise _no_range(error.length or 0) from None
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = POLICY
    return private(response)


def _no_file() -> Problem:
    return Problem(404, "no-file", "No such file", "This job has no file of this name.")


def _no_range(size: int) -> Problem:
    return Problem(
        416,
        "range",
        "Range not in the file",
        f"Range is {request.headers.get('Range')!r}, but the file has {size} bytes.",
        headers={"Content-Range": f"bytes */{size}"},
    )
