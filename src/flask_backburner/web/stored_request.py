"""Stored requests: what a background view is asked, kept until a worker runs it."""

from __future__ import annotations

import errno
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from flask import Request
from msgspec import Struct
from werkzeug.wsgi import get_content_length

from ..errors import BackburnerError, StoreError, StoreFull
from ..files import FileFolder, publish

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

JOB = "backburner.job"
"""In a request that a worker runs again: the id of its job."""

_SPOOL = "backburner.spool"
BODY = ".request"
IN_MEMORY = 256 << 10
CHUNK = 256 << 10

# By name, because some servers put the process's own environment there too.
_KEPT = frozenset(
    {
        "AUTH_TYPE",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "PATH_INFO",
        "QUERY_STRING",
        "RAW_URI",
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "REMOTE_USER",
        "REQUEST_METHOD",
        "REQUEST_URI",
        "SCRIPT_NAME",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
        "wsgi.url_scheme",
    }
)
_CONDITIONAL = frozenset(
    {"HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_IF_RANGE", "HTTP_RANGE"}
)


class StoredRequest(Struct, frozen=True):
    """A request as text; its body, if it has one, is a file of the job.

    Of a GET without the headers that ask for a part of the answer, or only for a new one: the
    whole is stored, and whoever fetches it says what is wanted of it.
    """

    environ: dict[str, str]
    body: bool


def in_job(request: Request) -> bool:
    """Whether this is a stored request that a worker runs."""
    return JOB in request.environ


def spool(request: Request, files: FileFolder) -> None:
    """Take the request's body off the wire, before anybody reads it, so that it can be read again.

    What is larger than some memory goes into a file that has no name. The app's limits apply.
    """
    with _on_disk(files):
        files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        body = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(files.folder))  # noqa: SIM115  # closed at the request's end
    request.environ[_SPOOL] = body
    for chunk in _chunks(request):
        with _on_disk(files):
            body.write(chunk)
    body.seek(0)
    request.environ["wsgi.input"] = body
    _say_where_it_ends(request.environ)
    vars(request).pop("stream", None)  # cached; the next is made of what is kept


def _chunks(request: Request) -> Iterator[bytes]:
    """The body, not read beyond its end, which a limit may take for too much."""
    length, done = request.content_length, 0
    while done != length and (chunk := request.stream.read(CHUNK)):
        done += len(chunk)
        yield chunk


def _say_where_it_ends(environ: WSGIEnvironment) -> None:
    if get_content_length(environ) is None:
        environ["wsgi.input_terminated"] = True
    else:
        environ.pop("wsgi.input_terminated", None)


def drop_spool(request: Request) -> None:
    """Let go of the body at the request's end."""
    body = request.environ.pop(_SPOOL, None)
    if body is not None:
        body.close()


def store_request(request: Request, files: FileFolder, id: str) -> StoredRequest:
    """Keep the request for the job with this id; durable when this returns.

    Raises ``StoreError`` when its body cannot be written.
    """
    has_body = _keep_body(_spooled(request), files, id)
    dropped = _CONDITIONAL if request.method in ("GET", "HEAD") else frozenset[str]()
    environ = {
        key: value
        for key, value in request.environ.items()
        if isinstance(value, str)
        and (key in _KEPT or key.startswith("HTTP_"))
        and key not in dropped
    }
    return StoredRequest(environ, has_body)


def _spooled(request: Request) -> IO[bytes]:
    body = request.environ.get(_SPOOL)
    if body is not None:
        body.seek(0)
        return body  # type: ignore[no-any-return]  # an environ holds anything
    if request.content_length or "Transfer-Encoding" in request.headers:
        raise BackburnerError(
            "The body of this request was not kept for the background view, because the view "
            "registered for this address hides it. Use functools.wraps in the decorators above "
            "@tasks.background."
        )
    return io.BytesIO()


def _keep_body(body: IO[bytes], files: FileFolder, id: str) -> bool:
    if not body.read(1):
        return False
    body.seek(0)
    path = files.path(id, BODY)
    with _on_disk(files):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(BODY + ".new")
        with draft.open("wb") as file:
            shutil.copyfileobj(body, file, CHUNK)
        publish(draft, path)
    return True


@contextmanager
def _on_disk(files: FileFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(
            f"The request cannot be kept in {files.folder}: {error}. Make room there, or set "
            "BACKBURNER_FILES to a folder that can be written."
        ) from error


def forget_body(files: FileFolder, id: str) -> None:
    """Remove the stored body, which nobody needs once the job has succeeded. Repeatable."""
    files.path(id, BODY).unlink(missing_ok=True)


@contextmanager
def restored(stored: StoredRequest, files: FileFolder, id: str) -> Iterator[WSGIEnvironment]:
    """The environment of the request as it came, for the job with this id."""
    with _open_body(stored, files.path(id, BODY)) as body:
        environ: WSGIEnvironment = {
            **stored.environ,
            JOB: id,
            "wsgi.version": (1, 0),
            "wsgi.input": body,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        _say_where_it_ends(environ)
        yield environ


def _open_body(stored: StoredRequest, path: Path) -> IO[bytes]:
    if not stored.body:
        return io.BytesIO()
    try:
        return path.open("rb")
    except OSError as error:
        raise StoreError(
            f"The stored body of the request cannot be read: {error}. Send the request again."
        ) from error
