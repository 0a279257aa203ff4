"""A job's hash, read as a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import json

from ...clock import moment
from ...record import Fault, JobRecord, Progress, State
from ..claim import Claim
from .parcel import NO_ARGUMENTS

_UNBLEMISHED = (State.SUCCEEDED, State.CANCELLED)
"""Here the fault of an earlier attempt means nothing any more."""


def pairs(hash: Mapping[bytes, bytes] | Sequence[bytes]) -> dict[str, bytes]:
    """A hash as the client gives it, or as a script does: name, value, name, value."""
    if isinstance(hash, Mapping):
        return {name.decode(): value for name, value in hash.items()}
    return {name.decode(): value for name, value in zip(hash[::2], hash[1::2], strict=True)}


def read_record(id: str, fields: dict[str, bytes]) -> JobRecord:
    """The record of a job's fields."""
    read = _Reading(fields)
    state = State(read.text("state") or "")
    return JobRecord(
        id=id,
        task=read.text("task") or "",
        queue=read.text("queue") or "",
        priority=read.count("priority"),
        state=state,
        version=read.count("version"),
        fence=read.count("fence"),
        attempt=read.count("attempt"),
        crashes=read.count("crashes"),
        created_at=read.moment("created_at"),
        run_at=read.moment("run_at"),
        started_at=read.moment_or_none("started_at"),
        finished_at=read.moment_or_none("finished_at"),
        updated_at=read.moment("updated_at"),
        progress=Progress(
            read.number("current"), read.number("total"), read.text("message"), read.text("phase")
        ),
        progressed_at=read.moment_or_none("progressed_at"),
        cancel_requested="cancel_requested" in fields,
        fault=None if state in _UNBLEMISHED else read.fault(),
        worker=read.text("worker"),
        last_line=read.count("last_line"),
        owner=read.text("owner"),
        kept_until=read.moment_or_none("kept_until"),
        files=read.count("files"),
        external="external" in fields,
        retries=read.count("retries"),
        failures=read.count("failures"),
        start_by=read.moment_or_none("start_by"),
        overdue="overdue" in fields,
    )


class _Reading:
    """The fields of one job, each read as what it is."""

    def __init__(self, fields: dict[str, bytes]) -> None:
        self._fields = fields

    def text(self, name: str) -> str | None:
        return self._fields[name].decode() if name in self._fields else None

    def count(self, name: str) -> int:
        return int(self._fields.get(name, 0))

    def number(self, name: str) -> float | None:
        return read_number(self._fields.get(name))

    def moment(self, name: str) -> datetime:
        return moment(float(self._fields[name]))

    def moment_or_none(self, name: str) -> datetime | None:
        return self.moment(name) if name in self._fields else None

    def fault(self) -> Fault | None:
        return json.decode(self._fields["fault"], type=Fault) if "fault" in self._fields else None


def read_number(text: bytes | None) -> float | None:
    """A number as it was written, whole or not."""
    if text is None:
        return None
    return int(text) if text.lstrip(b"-").isdigit() else float(text)


def read_claim(answer: Sequence[object]) -> Claim:
    """A claim as the script tells it."""
    id, fence, task, queue, attempt, arguments, failures, retries, crashes, saved = answer
    assert isinstance(id, bytes)
    assert isinstance(fence, int)
    assert isinstance(task, bytes)
    assert isinstance(queue, bytes)
    assert isinstance(attempt, int)
    assert isinstance(failures, int)
    assert isinstance(retries, int)
    assert isinstance(crashes, int)
    assert isinstance(saved, list)
    return Claim(
        id.decode(),
        fence,
        task.decode(),
        queue.decode(),
        attempt,
        NO_ARGUMENTS if arguments is None else arguments if isinstance(arguments, bytes) else b"",
        failures,
        retries,
        crashes,
        tuple(sorted(pairs(saved).items())),
    )
