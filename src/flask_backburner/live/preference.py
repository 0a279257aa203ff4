"""Preference: how long a client says that it wants to wait (RFC 7240, ``Prefer: wait=N``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import Response
from werkzeug.http import parse_list_header

_WAIT = re.compile(r"wait\s*=\s*(\d{1,9})\s*(?:;.*)?", re.ASCII | re.IGNORECASE)


def preferred_wait(environ: Mapping[str, Any]) -> int | None:
    """So many seconds; ``None`` where nothing is said or not understood, which counts as nothing.

    Of several the first one counts.
    """
    for preference in parse_list_header(environ.get("HTTP_PREFER", "")):
        said = _WAIT.fullmatch(preference)
        if said:
            return int(said[1])
    return None


def say_applied(response: Response, seconds: int | None) -> Response:
    """Say that the client's preference was followed, if it was."""
    if seconds is not None:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return response
