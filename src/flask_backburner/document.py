"""A job's record as its JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from msgspec import to_builtins

from .record import Fault, JobFile, JobRecord, Reason, State, Waiting

SOON = 0.3
EARLY_SECONDS = 2.0
FAR_OFF = 15.0

PARTS = ("events", "result", "log", "cancel")

PLAIN_WORDS = {
    "expired": "The job could not be started in time.",
    "lost": "The job was interrupted and has been given up.",
    "timeout": "The job took too long and was stopped.",
}
"""What its user reads of a job that failed with this code."""


def job_document(
    record: JobRecord,
    now: float,
    *,
    base: str | None,
    files: Sequence[JobFile] = (),
    waiting: Waiting | None = None,
    reveal: bool = False,
) -> dict[str, Any]:
    """The document of a job at the time ``now``, with links below ``base`` if there are routes.

    ``reveal`` shows the text of any exception, which otherwise only operators read.
    """
    return {
        "id": record.id,
        "task": record.task,
        "state": record.state.value,
        "done": record.done,
        "version": record.version,
        "queue": record.queue,
        "attempt": record.attempt,
        "retries_left": record.retries_left,
        "crashes": record.crashes,
        "created_at": timestamp(record.created_at),
        "run_at": timestamp(record.run_at),
        "started_at": timestamp(record.started_at),
        "finished_at": timestamp(record.finished_at),
        "updated_at": timestamp(record.updated_at),
        "start_by": timestamp(record.start_by),
        "kept_until": timestamp(record.kept_until),
        "progress": _progress(record, now),
        "cancel_requested": record.cancel_requested,
        "overdue": record.overdue,
        "waiting": None if waiting is None else to_builtins(waiting),
        "error": fault_document(record, reveal=reveal),
        "files": [_file(base, record.id, file) for file in files],
        "poll_after": poll_after(record, now),
        "links": {} if base is None else links(base, record.id),
    }


def links(base: str, id: str) -> dict[str, str]:
    """The addresses of a job's parts."""
    own = f"{base}/{id}"
    return {"self": own} | {part: f"{own}/{part}" for part in PARTS}


def _file(base: str | None, id: str, file: JobFile) -> dict[str, Any]:
    url = None if base is None else f"{base}/{id}/files/{quote(file.name)}"
    return {"name": file.name, "type": file.type, "size": file.size, "url": url}


def timestamp(moment: datetime | None) -> str | None:
    """A time as RFC 3339 has it, to the millisecond."""
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def fault_document(record: JobRecord, *, reveal: bool) -> dict[str, str] | None:
    """What a job's user may know of why it failed; nothing of attempts that others follow."""
    fault = record.fault
    if fault is None or record.state is not State.FAILED:
        return None
    shown = fault.message if fault.public or reveal else plain_words(fault, record.id)
    return {"code": fault.code, "message": shown}


def plain_words(fault: Fault, id: str) -> str:
    """A sentence for users that gives nothing away; the id leads operators to the rest."""
    words = PLAIN_WORDS.get(fault.code, "The job failed because of an error.")
    return f"{words} Its id is {id}."


def _progress(record: JobRecord, now: float) -> dict[str, Any]:
    progress = record.progress
    return {
        "current": progress.current,
        "total": progress.total,
        "fraction": progress.fraction,
        "message": progress.message,
        "phase": progress.phase,
        "remaining": remaining(record, now),
    }


def diagnosis(waiting: Waiting | None) -> str:
    """Why a queued job waits, as a text that changes when there is something new to say of it.

    Until when it waits if it is for a time its document says otherwise, without a countdown.
    """
    if waiting is None:
        return ""
    estimate = waiting.estimate if waiting.reason is Reason.IN_LINE else None
    return f"{waiting.reason}.{waiting.position or ''}.{'' if estimate is None else estimate}"


def remaining(record: JobRecord, now: float) -> float | None:
    """About how many seconds are left, from the speed since the attempt began."""
    progress = record.progress
    if record.state is not State.RUNNING or record.started_at is None:
        return None
    if record.progressed_at is None or not progress.fraction:
        return None
    spent = (record.progressed_at - record.started_at).total_seconds()
    left = spent / progress.fraction * (1 - progress.fraction)
    left -= now - record.progressed_at.timestamp()
    return round(max(0.0, left), 1)


def poll_after(record: JobRecord, now: float) -> float | None:
    """When it makes sense to look again, in seconds; nothing once the job is done."""
    if record.done:
        return None
    ahead = record.run_at.timestamp() - now
    if record.state is State.QUEUED and ahead > 0:
        return min(FAR_OFF, max(SOON, round(ahead, 1)))
    age = now - max(record.created_at, record.run_at).timestamp()
    usual = _by_age(age)
    left = remaining(record, now)
    return usual if not left else min(usual, max(SOON, left))


def _by_age(age: float) -> float:
    if age < EARLY_SECONDS:
        return SOON
    if age < 60:
        return 1.0
    return 2.0 if age < 600 else 5.0
