"""Result: what a job gave, as a value, a file or the answer of a view."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request

from ..answer import JSON, private, whole_seconds
from ..document import SOON, fault_document, poll_after
from ..installation import Installation
from ..job import Job
from ..record import JobFile, JobRecord, ResultKind, State
from .access import visible_job
from .download import download
from .problem import Problem
from .stored_response import replay


def result(installation: Installation, id: str) -> Response:
    """The job's result; while there is none, or if there will never be one, a 409."""
    record = visible_job(installation, id)
    if not record.done:
        raise _not_done(installation, record)
    if record.state is not State.SUCCEEDED:
        raise _no_result(installation, record)
    job = Job[Any](record, installation)
    kind, data = job.stored_result()
    if kind is ResultKind.FILE:
        # By its name among the job's files: a task may make up a value that names any other.
        return download(installation, id, msgspec.json.decode(data, type=JobFile).name)
    if kind is ResultKind.RESPONSE:
        return replay(installation, job)
    return _value_response(installation, record, data)


def _value_response(installation: Installation, record: JobRecord, data: bytes) -> Response:
    response = installation.app.response_class(data, mimetype=JSON)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.set_etag(f"{record.version}-result", weak=True)
    response.make_conditional(request)
    return private(response)


def _not_done(installation: Installation, record: JobRecord) -> Problem:
    soon = poll_after(record, installation.store.now()) or SOON
    return Problem(
        409,
        "not-done",
        "No result yet",
        f"The job is {record.state} and has no result yet. Ask again later.",
        headers={"Retry-After": whole_seconds(soon)},
    )


def _no_result(installation: Installation, record: JobRecord) -> Problem:
    error = fault_document(record, reveal=installation.app.debug)
    if error is None:
        error = {"code": "cancelled", "message": "The job was cancelled."}
    return Problem(409, "no-result", "No result", error["message"], members={"error": error})
