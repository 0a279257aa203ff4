"""Stored responses: what a background view answered, kept until it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin

from flask import Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wsgi import wrap_file

from ..answer import PRIVATE, VARY
from ..context import current_job
from ..errors import StoreError
from ..files import publish
from ..installation import Installation
from ..job import Job
from ..record import StoredResponse
from .session_change import apply_to_session
from .stored_request import forget_body

RESULT = "Backburner-Result"
CHUNK = 64 << 10
IN_MEMORY = 256 << 10


def store_response(
    installation: Installation, response: Response, session: dict[str, str | None]
) -> StoredResponse:
    """Write the response's body into a file of the current job; a cancel arrives on the way."""
    # An earlier attempt that was given up may still be writing its own.
    name = f".response-{current_job.attempt}"
    path = installation.files.path(current_job.id, name)
    streamed, direct = response.is_streamed, response.direct_passthrough
    try:
        _write_body(path, response)
    finally:
        response.close()
    return StoredResponse(
        response.status, _headers(response), name, streamed, bool(direct), session
    )


def _write_body(path: Path, response: Response) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    try:
        with draft.open("wb") as file:
            for chunk in response.iter_encoded():
                current_job.check_cancelled()
                file.write(chunk)
        publish(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _headers(response: Response) -> list[tuple[str, str]]:
    """The headers as they are valid at any address: what was said of this one is resolved."""
    return [
        (name, _resolved(value) if name.lower() in ("location", "content-location") else value)
        for name, value in response.headers
    ]


def _resolved(location: str) -> str:
    if location.startswith("/"):
        return location
    base = f"{request.script_root}{request.path}?{request.query_string.decode('latin-1')}"
    return urljoin(base, location)


def replay(installation: Installation, job: Job[Any]) -> Response:
    """The answer of a background view, marked as such so that its 404 is not taken for ours."""
    response = answer(installation, job)
    response.headers[RESULT] = job.id
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = PRIVATE
        response.headers.add("Vary", VARY)
    return response


def answer(installation: Installation, job: Job[Any]) -> Response:
    """The answer of a background view as the view gave it, of a job that has succeeded.

    Ranges, and what the client has already, are judged by the request of now. Raises
    ``StoreError`` if its body was removed.
    """
    stored = cast(StoredResponse, job.result)
    path = installation.files.path(job.id, stored.body)
    try:
        size = path.stat().st_size
        response = _response(installation, stored, path)
    except OSError as error:
        raise StoreError(
            f"The stored response of job {job.id} cannot be read: {error}. It is kept in "
            "BACKBURNER_FILES, beside the job; start the job again."
        ) from error
    response.headers.clear()
    response.headers.extend(stored.headers)
    response.content_length = size
    apply_to_session(stored.session)
    forget_body(installation.files, job.id)
    return _conditional(response, size)


def _response(installation: Installation, stored: StoredResponse, path: Path) -> Response:
    body: bytes | Iterable[bytes]
    if stored.streamed and path.stat().st_size > IN_MEMORY:
        body = wrap_file(request.environ, path.open("rb"), CHUNK)
    else:
        body = path.read_bytes()
    return installation.app.response_class(body, stored.status, direct_passthrough=stored.direct)


def _conditional(response: Response, size: int) -> Response:
    """Answer with a part, or with nothing, if that is what this request asks for."""
    if request.method not in ("GET", "HEAD") or response.status_code != 200:
        return response
    ranges = response.headers.get("Accept-Ranges") == "bytes"
    if not (ranges or "ETag" in response.headers or "Last-Modified" in response.headers):
        return response
    try:
        response.make_conditional(request, accept_ranges=ranges, complete_length=size)
    except RequestedRangeNotSatisfiable:
        response.close()
        raise
    return response
