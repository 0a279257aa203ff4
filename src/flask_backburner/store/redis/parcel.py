"""What a script is given: what is text as JSON, and beside it data of any bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import json

from ...record import (
    Cancelled,
    Crashed,
    Failed,
    Fault,
    JobFile,
    Line,
    Outcome,
    Progress,
    Released,
    Retry,
    Succeeded,
)
from ..claim import Report, Settlement
from ..new_job import NewJob

NO_ARGUMENTS = b"{}"
NULL = b"null"
"""The most common arguments and results are not stored: what is missing reads as these."""


class Parcel:
    """Collects what a script is given."""

    def __init__(self) -> None:
        self._data: list[bytes] = []

    def put(self, data: bytes) -> int:
        """The number under which the script finds these bytes."""
        self._data.append(data)
        return len(self._data)

    def arguments(self, given: dict[str, Any]) -> list[str | bytes]:
        """The script's arguments; what is ``None`` is left out."""
        return [json.encode(_without_none(given)), *self._data]

    def new_job(self, job: NewJob) -> dict[str, Any]:
        fields = {
            "id": job.id,
            "task": job.task,
            "queue": job.queue,
            "priority": job.priority,
            "run_at": job.run_at,
            "owner": job.owner,
            "external": 1 if job.external else None,
            "deadline": job.deadline,
            "retries": job.retries,
            "rescues": job.rescues,
            "start_by": job.start_by,
            "alias": job.alias,
            "data": None if job.arguments == NO_ARGUMENTS else self.put(job.arguments),
        }
        return _without_none(fields)

    def report(self, report: Report) -> dict[str, Any]:
        fields = {
            "id": report.claim.id,
            "fence": report.claim.fence,
            "progress": report.progress and _progress(report.progress),
            "lines": [_line(line) for line in report.lines] or None,
            "files": [_file(file) for file in report.files] or None,
            "saved": self._saved(report.saved) or None,
            "overdue": report.overdue or None,
        }
        return _without_none(fields)

    def _saved(self, saved: Sequence[tuple[str, bytes | None]]) -> list[dict[str, Any]]:
        return [
            {"key": key} if data is None else {"key": key, "data": self.put(data)}
            for key, data in saved
        ]

    def settlement(self, settlement: Settlement) -> dict[str, Any]:
        claim = settlement.claim
        return {"id": claim.id, "fence": claim.fence, **self._outcome(settlement.outcome)}

    def _outcome(self, outcome: Outcome) -> dict[str, Any]:
        match outcome:
            case Succeeded(result, kind):
                told = {"how": "succeeded", "kind": kind}
                return told if result == NULL else told | {"data": self.put(result)}
            case Failed(fault):
                return {"how": "failed", "fault": fault_text(fault)}
            case Cancelled():
                return {"how": "cancelled"}
            case Retry(fault, delay):
                return {"how": "retry", "fault": fault_text(fault), "delay": delay}
            case Crashed():
                return {"how": "crashed"}
            case Released(started):
                return {"how": "released", "started": started}


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _progress(progress: Progress) -> dict[str, Any]:
    """Counts are text, so that whole numbers stay whole and others as exact as they are."""
    return _without_none(
        {
            "current": None if progress.current is None else repr(progress.current),
            "total": None if progress.total is None else repr(progress.total),
            "message": progress.message,
            "phase": progress.phase,
        }
    )


def _line(line: Line) -> str:
    return json.encode((line.at.timestamp(), line.level, line.text)).decode()


def _file(file: JobFile) -> dict[str, Any]:
    told = json.encode((file.type, file.size)).decode()
    return {"name": file.name, "size": file.size, "told": told}


def fault_text(fault: Fault) -> str:
    """A fault as it is stored."""
    return json.encode(fault).decode()
