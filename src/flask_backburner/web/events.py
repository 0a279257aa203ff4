"""Events: the addresses of live streams, and where a client that comes again goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Response, request

from ..errors import JobNotFound
from ..ids import is_id
from ..installation import Installation
from ..live.server import current_server, hang_up_of
from .access import visible_job
from .problem import Problem
from .stream import Stream
from .teller import Seen

MOST_JOBS = 100
GONE = "-"

_OF_ONE = re.compile(r"(\d{1,15})\.(\d{1,15})", re.ASCII)
_OF_MANY = re.compile(r"\d{1,15}|-", re.ASCII)


def job_events(installation: Installation, id: str) -> Response:
    """One job's changes and log lines; 204 for a client that has all there will ever be."""
    record = visible_job(installation, id)
    seen = Seen(id, line=record.last_line)
    told = _OF_ONE.fullmatch(_last_event_id())
    if told:
        seen.version, seen.line = int(told[1]), min(int(told[2]), record.last_line)
        seen.over = record.done and seen.version == record.version and seen.line == record.last_line
    return _answer(installation, [seen], logs=True)


def events(installation: Installation) -> Response:
    """The changes of the jobs whose ``ids`` are asked for, in one stream."""
    ids = _asked_ids()
    jobs = [_seen(installation, id, told) for id, told in zip(ids, _told(len(ids)), strict=True)]
    return _answer(installation, jobs, logs=False)


def _asked_ids() -> list[str]:
    ids = request.args.get("ids", "").split(",")
    if len(ids) <= MOST_JOBS and all(map(is_id, ids)):
        return list(dict.fromkeys(ids))
    found = f"has {len(ids)} ids" if len(ids) > MOST_JOBS else "is not all ids"
    raise Problem(
        422,
        "argument",
        "Argument not usable",
        f"ids {found}, but must be from 1 to {MOST_JOBS} ids of jobs with commas between them.",
    )


def _told(jobs: int) -> list[str]:
    """Of each job the version that the client has, 0 for none."""
    told = _last_event_id().split(",")
    if len(told) == jobs and all(map(_OF_MANY.fullmatch, told)):
        return told
    return ["0"] * jobs


def _last_event_id() -> str:
    return request.headers.get("Last-Event-ID", "")


def _seen(installation: Installation, id: str, told: str) -> Seen:
    version = 0 if told == GONE else int(told)
    try:
        record = visible_job(installation, id)
    except JobNotFound:
        return Seen(id, version, gone=True, over=told == GONE)
    return Seen(id, version, over=record.done and version == record.version)


def _answer(installation: Installation, jobs: Sequence[Seen], *, logs: bool) -> Response:
    make = installation.app.response_class
    if all(seen.over for seen in jobs):
        response = make(status=204)
    else:
        environ = request.environ
        stream = Stream(
            installation,
            jobs,
            logs=logs,
            server=current_server(environ),
            hung_up=hang_up_of(environ),
        )
        response = make(stream.chunks(), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    return response
