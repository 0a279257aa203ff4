"""Look: what Celery would say of a job."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ..job import Job
from ..record import Fault, JobRecord, State
from . import states
from .exceptions import (
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
    WorkerLostError,
)
from .told import Told, error_of_meta, error_of_text, made_again


class Look(Struct, frozen=True):
    """What Celery would say of a task: its state, and its result, meta or exception."""

    state: str = states.PENDING
    info: Any = None
    record: JobRecord | None = None


def look_at(job: Job[Any], told: Told | None, tracks_start: bool) -> Look:
    """What Celery would say of the job."""
    record = job.record
    if record.done:
        return _over(job, told)
    if told is not None and told.state and told.failures == record.failures:
        return Look(told.state, _meta(told), record)
    if record.failures and record.fault is not None:
        return Look(states.RETRY, _error(record, record.fault, told), record)
    if record.state is State.RUNNING and tracks_start:
        return Look(states.STARTED, {"pid": None, "hostname": record.worker}, record)
    return Look(states.PENDING, None, record)


def _meta(told: Told) -> Any:
    return error_of_meta(told.meta) if told.state in states.EXCEPTION_STATES else told.meta


def _over(job: Job[Any], told: Told | None) -> Look:
    record = job.record
    if told is not None and told.last:
        return Look(told.state, _meta(told), record)
    if record.state is State.SUCCEEDED:
        return Look(states.SUCCESS, job.result, record)
    fault = record.fault
    if record.state is State.CANCELLED or fault is None:
        return Look(states.REVOKED, TaskRevokedError("revoked"), record)
    if fault.code == "expired":
        return Look(states.REVOKED, TaskRevokedError("expired"), record)
    return Look(states.FAILURE, _error(record, fault, told), record)


def _error(record: JobRecord, fault: Fault, told: Told | None) -> Exception:
    """The exception of the last attempt that failed, as like to the real one as can be."""
    if fault.code == "lost":
        return WorkerLostError(fault.message)
    if fault.code == "timeout":
        soft = told is not None and told.error is not None
        return (SoftTimeLimitExceeded if soft else TimeLimitExceeded)(fault.message)
    before = record.failures if record.done else record.failures - 1
    if told is not None and told.error is not None and told.failures == before:
        return made_again(told.error)
    return error_of_text(fault.message, public=fault.public)
