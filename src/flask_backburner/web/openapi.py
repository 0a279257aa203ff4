"""OpenAPI: the description of all routes, under the paths that they have in this app."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from flask import Response, request

from ..answer import JSON
from ..installation import Installation

DESCRIPTION = Path(__file__).with_name("openapi.json")


def openapi(installation: Installation) -> Response:
    """The description of this app's routes."""
    prefix = installation.settings.url_prefix or ""
    document = description(prefix, request.script_root or "/")
    response = installation.app.response_class(msgspec.json.encode(document), mimetype=JSON)
    response.add_etag()
    response.make_conditional(request)
    return response


def description(prefix: str, root: str) -> dict[str, Any]:
    """The OpenAPI document of routes below ``prefix``, in an app that is at ``root``."""
    document = _written()
    paths = {prefix + path: item for path, item in document["paths"].items()}
    info = document["info"] | {"version": version("Flask-Backburner")}
    return document | {"info": info, "paths": paths, "servers": [{"url": root}]}


@cache
def _written() -> dict[str, Any]:
    written: dict[str, Any] = msgspec.json.decode(DESCRIPTION.read_bytes())
    return written
