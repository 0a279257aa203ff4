"""Whether a request that changes something comes from a page of another site."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request

from .problem import Problem


def refuse_other_sites() -> None:
    """Raise a 403 for a cross-site request; one without any mark is no browser's, and passes."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        origin = request.headers.get("Origin")
        foreign = origin is not None and urlsplit(origin).netloc != request.host
    if foreign:
        raise Problem(
            403,
            "cross-site",
            "Request from another site",
            "A job can be changed only from a page of its own site.",
        )
