"""The routes of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from ..answer import JSON, document_response, prefers_html, private, say_when
from ..document import diagnosis, poll_after
from ..installation import Installation
from ..job import Job
from ..live.preference import say_applied
from ..record import JobRecord, State, Waiting
from .access import visible_job
from .argument import whole_number
from .asset import asset_response
from .background import is_background_view
from .download import download
from .events import events, job_events
from .fragment import fragment
from .health import health
from .listing import own_jobs
from .openapi import openapi
from .origin import refuse_other_sites
from .page import job_page, line_document
from .problem import Problem
from .result import result

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

MOST_LINES = 10**15 - 1

VIEWS: Sequence[tuple[str, str, Callable[..., Response]]] = (
    ("/", "own_jobs", own_jobs),
    ("/<id>/result", "result", result),
    ("/<id>/files/<name>", "download", download),
    ("/<id>/fragment", "fragment", fragment),
    ("/<id>/events", "job_events", job_events),
    ("/events", "events", events),
    ("/health", "health", health),
    ("/openapi.json", "openapi", openapi),
)
"""Where each noun of its own file has its address, by ``GET``."""


def job_blueprint(installation: Installation) -> Blueprint:
    """The blueprint with all routes of one app's jobs; with the templates alone if without."""
    routes = Routes(installation)
    blueprint = Blueprint(
        "backburner",
        __name__,
        url_prefix=installation.settings.url_prefix,
        template_folder="templates",
    )
    if blueprint.url_prefix is None:
        return blueprint
    blueprint.add_url_rule("/<id>", "job", routes.job)
    blueprint.add_url_rule("/<id>/log", "log", routes.log)
    blueprint.add_url_rule("/<id>/cancel", "cancel", routes.cancel, methods=["POST"])
    blueprint.add_url_rule("/static/<filename>", "static_file", asset_response)
    for rule, name, view in VIEWS:
        blueprint.add_url_rule(rule, name, partial(view, installation))
    return blueprint


class Routes:
    """What is asked of jobs over HTTP."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._app = installation.app

    def _job(self, record: JobRecord) -> Job[Any]:
        return Job(record, self._installation)

    def job(self, id: str) -> Response:
        """The job in any state, as a document or as a page."""
        job = self._job(visible_job(self._installation, id))
        return self._page(job) if prefers_html() else self._status(job)

    def _page(self, job: Job[Any]) -> Response:
        if job.state is State.SUCCEEDED and is_background_view(self._installation, job.task):
            return self._see(f"{job.id}/result")
        response = self._app.response_class(job_page(job), mimetype="text/html")
        response.headers["Content-Security-Policy"] = POLICY
        return _tagged(response, f"{job.version}.{job.record.last_line}-page")

    def _status(self, job: Job[Any]) -> Response:
        """The document, at once or when the client has waited for news of it."""
        applied = self._installation.live.wait_as_preferred(
            request.environ, job.id, lambda: _is_awaited(job.refresh())
        )
        waiting = job.waiting
        tag = _document_tag(job, waiting)
        if request.if_none_match.contains_weak(tag):
            response = self._unchanged(job.record, tag)
        else:
            document = job._document_below(self._installation.base(), waiting)
            response = _tagged(document_response(self._app, document), tag)
        return say_applied(response, applied)

    def _unchanged(self, record: JobRecord, tag: str) -> Response:
        """What the client has is still so; when to look again may differ."""
        response = self._app.response_class(status=304)
        say_when(response, poll_after(record, self._installation.store.now()))
        return _tagged(response, tag)

    def log(self, id: str) -> Response:
        """The log lines after the one that the client has."""
        after = whole_number("after", 0, 0, MOST_LINES, "the number of a log line, 0 or more")
        lines = self._job(visible_job(self._installation, id)).log(after)
        body = {
            "lines": [line_document(line) for line in lines],
            "next": lines[-1].id if lines else after,
        }
        response = self._app.response_class(msgspec.json.encode(body), mimetype=JSON)
        return private(response)

    def cancel(self, id: str) -> Response:
        """Cancel a queued job, or ask a running one to stop."""
        refuse_other_sites()
        job = self._job(visible_job(self._installation, id)).cancel()
        if prefers_html():
            return self._see(job.id)
        if job.state in (State.SUCCEEDED, State.FAILED):
            raise Problem(
                409, "conflict", "Too late to cancel", f"The job has {job.state} already."
            )
        status = 200 if job.done else 202
        return private(document_response(self._app, job._document(), status))

    def _see(self, path: str) -> Response:
        response = self._app.response_class(status=303)
        response.headers["Location"] = f"{self._installation.base()}/{path}"
        return private(response)


def _is_awaited(job: Job[Any]) -> bool:
    """Whether a waiting client gets what it waits for: the end, for one with a tag any news."""
    if job.done or not request.if_none_match:
        return job.done
    return not request.if_none_match.contains_weak(_document_tag(job, job.waiting))


def _document_tag(job: Job[Any], waiting: Waiting | None) -> str:
    """While it is queued the diagnosis changes without a version."""
    why = diagnosis(waiting)
    return f"{job.version}-{why}-json" if why else f"{job.version}-json"


def _tagged(response: Response, tag: str) -> Response:
    response.headers["ETag"] = f'W/"{tag}"'
    return private(response)
