"""Access: which jobs who asks may see. A job of somebody else is an unknown one."""

from __future__ import annotations

from ..errors import JobForgotten, JobNotFound
from ..ids import is_id
from ..installation import Installation
from ..record import JobRecord


def visible_job(installation: Installation, id: str) -> JobRecord:
    """The job, if who makes this request may see it; else ``JobNotFound``."""
    if not is_id(id):
        raise JobNotFound(id)
    try:
        record = installation.store.get(id)
    except JobForgotten as error:
        raise error if may_see(installation, error.owner) else JobNotFound(id) from None
    if not may_see(installation, record.owner):
        raise JobNotFound(id)
    return record


def may_see(installation: Installation, owner: str | None) -> bool:
    """Whether a job of this owner is for who makes this request; one of nobody is for all."""
    return owner is None or owner == installation.ownership.current()
