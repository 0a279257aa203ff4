"""NewJob: what a store is given to make a job of."""

from __future__ import annotations

from msgspec import Struct

from ..clock import moment
from ..record import RESCUES, JobRecord, Progress, State


class NewJob(Struct, frozen=True):
    """A job to be added. ``arguments`` are encoded; ``run_at`` is in seconds since the epoch.

    An ``external`` job is never claimed: other code drives it. If it has a ``deadline``, so many
    seconds of silence make it ``lost``. ``retries`` failures and ``rescues`` crashes are
    forgiven. One not begun by ``start_by``, in seconds since the epoch, expires. ``alias`` is an
    id of the caller's own.
    """

    id: str
    task: str
    arguments: bytes
    queue: str = "default"
    priority: int = 0
    run_at: float | None = None
    owner: str | None = None
    external: bool = False
    deadline: float | None = None
    retries: int = 0
    rescues: int = RESCUES
    start_by: float | None = None
    alias: str | None = None


def new_record(job: NewJob, now: float) -> JobRecord:
    """The record of a job that was just added."""
    created = moment(now)
    return JobRecord(
        id=job.id,
        task=job.task,
        queue=job.queue,
        priority=job.priority,
        state=State.QUEUED,
        version=1,
        fence=0,
        attempt=0,
        crashes=0,
        created_at=created,
        run_at=created if job.run_at is None else moment(job.run_at),
        started_at=None,
        finished_at=None,
        updated_at=created,
        progress=Progress(),
        progressed_at=None,
        cancel_requested=False,
        fault=None,
        worker=None,
        last_line=0,
        owner=job.owner,
        external=job.external,
        retries=job.retries,
        start_by=None if job.start_by is None else moment(job.start_by),
    )
