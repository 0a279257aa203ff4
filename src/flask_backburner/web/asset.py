"""The browser module and styles, under addresses that change with their content."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flask import Response, current_app, request, send_from_directory, url_for

FOLDER = Path(__file__).parent / "static"
STATIC = "backburner.static_file"
# Browsers refuse modules of any other type, and a machine's own table may say anything
TYPES = {".js": "text/javascript", ".css": "text/css"}


@cache
def _mark(filename: str) -> str:
    return hashlib.sha256((FOLDER / filename).read_bytes()).hexdigest()[:12]


def has_assets() -> bool:
    """Whether the app has routes of ours at all."""
    return STATIC in current_app.view_functions


def asset_url(filename: str) -> str:
    """The address of a file that ships with the package."""
    return url_for(STATIC, filename=filename, v=_mark(filename))


def asset_response(filename: str) -> Response:
    """The file; kept for ever by clients that asked for just this content."""
    response = send_from_directory(FOLDER, filename, mimetype=TYPES.get(Path(filename).suffix))
    if request.args.get("v") == _mark(filename):
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
