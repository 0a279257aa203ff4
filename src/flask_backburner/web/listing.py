"""Listing: the jobs of who asks, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Response

from ..answer import JSON, private
from ..clock import moment
from ..errors import JobNotFound
from ..ids import is_id
from ..installation import Installation
from ..job import Job
from ..record import JobRecord
from .access import visible_job
from .argument import argument, unusable, whole_number
from .problem import Problem

USUAL = 20
MOST = 100


def own_jobs(installation: Installation) -> Response:
    """A page of the jobs of who makes this request, newest first."""
    owner = installation.ownership.current()
    if owner is None:
        raise Problem(
            404,
            "no-list",
            "No list of jobs",
            "Only the jobs of an owner are listed, and this request comes from nobody.",
        )
    limit = whole_number("limit", USUAL, 1, MOST, f"a whole number from 1 to {MOST}")
    records = _page(installation, owner, limit + 1, argument("before"))
    shown = records[:limit]
    body = {
        "jobs": list(_documents(installation, shown)),
        "next": _next(installation, shown[-1], limit) if len(records) > limit else None,
    }
    return private(installation.app.response_class(msgspec.json.encode(body), mimetype=JSON))


def _page(
    installation: Installation, owner: str, limit: int, before: str | None
) -> list[JobRecord]:
    if before is None:
        return installation.store.find(owner=owner, limit=limit)
    if not is_id(before):
        raise unusable("before", before, "the id of a job in the list")
    place = visible_job(installation, before).id
    return installation.store.find(owner=owner, limit=limit, before=place)


def _documents(installation: Installation, records: list[JobRecord]) -> Iterator[dict[str, Any]]:
    """Documents of the jobs that are not forgotten, though their rows may still be there."""
    now = moment(installation.store.now())
    for record in records:
        if record.kept_until is None or record.kept_until > now:
            with suppress(JobNotFound):
                yield Job[Any](record, installation)._document()


def _next(installation: Installation, last: JobRecord, limit: int) -> str:
    return f"{installation.base()}/?{urlencode({'limit': limit, 'before': last.id})}"
