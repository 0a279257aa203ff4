"""A job as the answer of a view: 202 for programs, 303 to its page for browsers."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Flask, Response, request

from .document import retry_after

JSON = "application/json"


def prefers_html() -> bool:
    """Whether the client asked for a page, as browsers do when a person follows a link."""
    accepted = request.accept_mimetypes
    if not accepted.provided:
        return False
    return accepted["text/html"] > accepted[JSON]


def document_response(app: Flask, document: dict[str, Any], status: int = 200) -> Response:
    """The document as JSON, saying when to look again."""
    response = app.response_class(msgspec.json.encode(document), status, mimetype=JSON)
    wait = retry_after(document)
    if wait is not None:
        response.headers["Retry-After"] = wait
    return response


def accepted_response(app: Flask, document: dict[str, Any]) -> Response:
    """What a view answers that has started this job: done already, accepted, or see its page."""
    location = document["links"]["self"]
    if request and prefers_html():
        response = app.response_class(status=303)
    else:
        response = document_response(app, document, 200 if document["done"] else 202)
    response.headers["Location"] = location
    return response
