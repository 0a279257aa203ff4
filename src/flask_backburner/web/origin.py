"""Whether a request that changes something comes from a page of another site."""

from __future__ import annotations

from flask import request

from .problem import Problem


def refuse_other_sites() -> None:
    """Raise a 403 for a cross-site request; one without any mark is no browser's, and passes."""
    found = _foreign_mark()
    if found:
        raise Problem(
            403,
            "cross-site",
            "Request from another site",
            f"{found}. A job can be changed only from a page of its own site.",
        )


def _foreign_mark() -> str | None:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        own = site in ("same-origin", "none")
        return None if own else f"Sec-Fetch-Site is {site!r}, but must be 'same-origin'"
    origin = request.headers.get("Origin")
    if origin is None or origin.partition("://")[2] == request.host:
        return None
    return f"Origin is {origin!r}, but the site is {request.host!r}"
