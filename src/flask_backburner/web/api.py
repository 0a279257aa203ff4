"""The routes of jobs."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response, request

from ..answer import JSON, document_response, prefers_html
from ..errors import JobNotFound
from ..ids import is_id
from ..installation import Installation
from ..job import Job
from ..record import JobRecord, State
from .asset import asset_response
from .origin import refuse_other_sites
from .page import job_page, line_document
from .problem import Problem

PRIVATE = "private, no-cache"
VARY = "Accept, Cookie, Authorization"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def job_blueprint(installation: Installation) -> Blueprint:
    """The blueprint with all routes of one app's jobs."""
    routes = Routes(installation)
    blueprint = Blueprint("backburner", __name__, url_prefix=installation.settings.url_prefix)
    blueprint.add_url_rule("/<id>", "job", routes.job)
    blueprint.add_url_rule("/<id>/log", "log", routes.log)
    blueprint.add_url_rule("/<id>/cancel", "cancel", routes.cancel, methods=["POST"])
    blueprint.add_url_rule("/static/<filename>", "static_file", asset_response)
    return blueprint


class Routes:
    """What is asked of jobs over HTTP."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._app = installation.app

    def _find(self, id: str) -> JobRecord:
        if not is_id(id):
            raise JobNotFound(id)
        return self._installation.store.get(id)

    def _job(self, record: JobRecord) -> Job[Any]:
        return Job(record, self._installation)

    def job(self, id: str) -> Response:
        """The job in any state, as a document or as a page."""
        record = self._find(id)
        html = prefers_html()
        tag = f"{record.version}.{record.last_line}-page" if html else f"{record.version}-json"
        if not html and request.if_none_match.contains_weak(tag):
            return self._private(self._app.response_class(status=304), tag)
        job = self._job(record)
        if html:
            response = self._app.response_class(job_page(job), mimetype="text/html")
            response.headers["Content-Security-Policy"] = POLICY
        else:
            response = document_response(self._app, job.document())
        return self._private(response, tag)

    def _private(self, response: Response, tag: str | None = None) -> Response:
        """For this client only, asked for again each time."""
        response.headers["Cache-Control"] = PRIVATE
        response.headers["Vary"] = VARY
        if tag is not None:
            response.headers["ETag"] = f'W/"{tag}"'
        return response

    def log(self, id: str) -> Response:
        """The log lines after the one that the client has."""
        after = request.args.get("after", "0")
        if not (after.isascii() and after.isdecimal() and len(after) < 16):
            raise Problem(
                422,
                "argument",
                "Argument not usable",
                f"after is {after!r}, but must be the number of a log line, 0 or more.",
            )
        lines = self._job(self._find(id)).log(int(after))
        body = {
            "lines": [line_document(line) for line in lines],
            "next": lines[-1].id if lines else int(after),
        }
        response = self._app.response_class(msgspec.json.encode(body), mimetype=JSON)
        return self._private(response)

    def cancel(self, id: str) -> Response:
        """Cancel a queued job, or ask a running one to stop."""
        refuse_other_sites()
        job = self._job(self._find(id)).cancel()
        if prefers_html():
            return self._to_page(job)
        if job.state in (State.SUCCEEDED, State.FAILED):
            raise Problem(
                409, "conflict", "Too late to cancel", f"The job has {job.state} already."
            )
        status = 200 if job.done else 202
        return self._private(document_response(self._app, job.document(), status))

    def _to_page(self, job: Job[Any]) -> Response:
        response = self._app.response_class(status=303)
        response.headers["Location"] = f"{self._installation.base()}/{job.id}"
        return self._private(response)
