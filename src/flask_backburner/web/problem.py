"""Refusals over HTTP: problem+json for programs, a page for browsers."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
from flask import Flask, Response, render_template

from ..answer import VARY, prefers_html
from ..errors import (
    ArgumentError,
    ArgumentsTooLarge,
    BackburnerError,
    JobForgotten,
    JobNotFound,
    QueueFull,
    StoreError,
    StoreFull,
)
from .asset import asset_url, has_assets

DOCUMENTATION = "https://flask-backburner.readthedocs.io/errors#"
RETRY_SECONDS = "5"
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Problem(BackburnerError):
    """A request that cannot be answered as asked: ``slug`` is its section in the documentation.

    ``members`` are added to the problem's own, ``headers`` to the answer's.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        members: Mapping[str, Any] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.members = members
        self.headers = headers


def problem_response(app: Flask, problem: Problem) -> Response:
    """The problem in the form that the client asked for."""
    document = {
        "type": DOCUMENTATION + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **problem.members,
    }
    if prefers_html():
        style_url = asset_url("backburner.css") if has_assets() else None
        page = render_template("backburner/problem.html", problem=document, style_url=style_url)
        response = app.response_class(page, problem.status, mimetype="text/html")
    else:
        response = app.response_class(
            msgspec.json.encode(document), problem.status, mimetype="application/problem+json"
        )
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = VARY
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = RETRY_SECONDS
    response.headers.update(problem.headers)
    return response


def problem_of(error: BackburnerError) -> Problem:
    """What to tell a client about an error of ours."""
    match error:
        case Problem():
            return error
        case JobForgotten():
            return Problem(410, "gone", "Job forgotten", str(error))
        case JobNotFound():
            return Problem(404, "not-found", "No such job", "There is no job with this id.")
        case ArgumentsTooLarge():
            return Problem(413, "too-large", "Arguments too large", str(error))
        case ArgumentError():
            return Problem(422, "argument", "Argument not usable", str(error))
        case QueueFull():
            return Problem(
                503, "queue-full", "Too much work waits", "Too many jobs wait. Try again later."
            )
        case StoreFull():
            return Problem(507, "store", "No room left", "Jobs cannot be stored: no room is left.")
        case _:
            return Problem(
                503, "store", "Jobs not available", "Jobs cannot be reached now. Try again later."
            )


SHOWN = (Problem, JobNotFound, ArgumentError, QueueFull, StoreError)
"""The errors that are a client's business; any other is a defect, and Flask's 500."""


def install_handlers(app: Flask) -> None:
    """Answer our errors as problems, in the app's own views too."""

    def handle(error: BackburnerError) -> Response:
        if isinstance(error, StoreError):
            app.logger.error("The job store cannot be used: %s", error)
        return problem_response(app, problem_of(error))

    for kind in SHOWN:
        app.register_error_handler(kind, handle)
