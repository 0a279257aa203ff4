"""A job as the answer of a view: 202 for programs, 303 to its page for browsers."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from flask import Flask, Response, has_request_context, request

JSON = "application/json"
PRIVATE = "private, no-cache"
VARY = "Accept, Cookie, Authorization"


def prefers_html() -> bool:
    """Whether the client asked for a page, as browsers do when a person follows a link."""
    accepted = request.accept_mimetypes
    if not accepted.provided:
        return False
    return accepted["text/html"] > accepted[JSON]


def document_response(app: Flask, document: dict[str, Any], status: int = 200) -> Response:
    """The document as JSON, saying when to look again."""
    response = app.response_class(msgspec.json.encode(document), status, mimetype=JSON)
    say_when(response, document["poll_after"])
    return response


def say_when(response: Response, poll_after: float | None) -> None:
    """When to look again, in whole seconds as the header wants it."""
    if poll_after is not None:
        response.headers["Retry-After"] = whole_seconds(poll_after)


def whole_seconds(seconds: float) -> str:
    """A duration as headers want it."""
    return str(math.ceil(seconds))


def private(response: Response) -> Response:
    """For this client only, asked for again each time."""
    response.headers["Cache-Control"] = PRIVATE
    response.headers["Vary"] = VARY
    return response


def accepted_response(app: Flask, document: dict[str, Any]) -> Response:
    """What a view answers that has started this job: done already, accepted, or see its page."""
    location = document["links"].get("self")
    if location and has_request_context() and prefers_html():
        response = app.response_class(status=303)
    else:
        response = document_response(app, document, 200 if document["done"] else 202)
    if location:
        response.headers["Location"] = location
    return private(response)
