"""Fragment: a job's bar as HTML that htmx replaces by itself until the job is done."""

from __future__ import annotations

from typing import Any

from flask import Response, render_template

from ..answer import private
from ..installation import Installation
from ..job import Job
from .access import visible_job
from .page import csrf_token

STOP = 286
"""The status at which htmx stops to ask."""


def fragment(installation: Installation, id: str) -> Response:
    """The bar in its present state, and when to ask for the next."""
    job = Job[Any](visible_job(installation, id), installation)
    html = render_template(
        "backburner/fragment.html",
        job=job.document(),
        label=None,
        csrf_token=csrf_token(),
    )
    response = installation.app.response_class(html, STOP if job.done else 200)
    return private(response)
