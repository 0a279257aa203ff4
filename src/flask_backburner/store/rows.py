"""A job's row, read as a record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..clock import moment
from ..record import Fault, JobRecord, Progress, State

COLUMNS = """
    jobs.id, task, queue, priority, state, version, fence, attempt, crashes,
    created_at, run_at, started_at, finished_at, updated_at,
    current, total, jobs.message, phase, progressed_at,
    cancel_requested, code, faults.message, public, traceback, worker, last_line,
    owner, kept_until, files, ready IS NULL, retries, failures, start_by, overdue
"""


_UNBLEMISHED = (State.SUCCEEDED, State.CANCELLED)
"""Here the fault of an earlier attempt means nothing any more."""


def read_record(row: tuple[Any, ...]) -> JobRecord:
    """The record of a row of ``COLUMNS``."""
    (
        id, task, queue, priority, state, version, fence, attempt, crashes,
        created_at, run_at, started_at, finished_at, updated_at,
        current, total, message, phase, progressed_at,
        cancel_requested, code, fault, public, traceback, worker, last_line,
        owner, kept_until, files, external, retries, failures, start_by, overdue,
    ) = row  # fmt: skip
    return JobRecord(
        id=id,
        task=task,
        queue=queue,
        priority=priority,
        state=State(state),
        version=version,
        fence=fence,
        attempt=attempt,
        crashes=crashes,
        created_at=moment(created_at),
        run_at=moment(run_at),
        started_at=_moment(started_at),
        finished_at=_moment(finished_at),
        updated_at=moment(updated_at),
        progress=Progress(current, total, message, phase),
        progressed_at=_moment(progressed_at),
        cancel_requested=bool(cancel_requested),
        fault=None
        if code is None or state in _UNBLEMISHED
        else Fault(code, fault, bool(public), traceback),
        worker=worker,
        last_line=last_line,
        owner=owner,
        kept_until=_moment(kept_until),
        files=files,
        external=bool(external),
        retries=retries,
        failures=failures,
        start_by=_moment(start_by),
        overdue=bool(overdue),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)
