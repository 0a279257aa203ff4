"""Teller: says in events what a client does not know yet of its jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ..document import diagnosis
from ..errors import JobNotFound
from ..installation import Installation
from ..job import Job
from ..live.memo import Memo
from ..record import JobRecord, Line, State, Waiting
from .page import line_document

LINES_AT_ONCE = 200
READ_FOR = 0.25
DIAGNOSED_FOR = 1.0

# Line breaks stand between the tokens of JSON only, but would end a line of the stream
_FLAT = bytes.maketrans(b"\r\n", b"  ")


class Seen(Struct):
    """What the client has of one job: its ``version``, log up to ``line``, why it waits.

    Of a ``gone`` one, unknown or somebody else's, nothing is read. Once it is ``over`` nothing
    more is to be told.
    """

    id: str
    version: int = 0
    line: int = 0
    waiting: str = ""
    stale: bool = False
    gone: bool = False
    over: bool = False


class Said(Struct, frozen=True):
    """A document as it goes out, and when to look again without a stream."""

    data: bytes
    poll_after: float | None


class Teller:
    """Tells the jobs of one stream; each read goes through a memo, shared or not."""

    def __init__(self, installation: Installation, jobs: Sequence[Seen], *, logs: bool) -> None:
        """To be made in a request; with ``logs`` it is of one job and tells its log lines."""
        self._installation = installation
        self._base = installation.base()
        self._jobs = jobs
        self._logs = logs
        self.poll_after: float | None = None

    def snapshot(self, seen: Seen) -> Iterator[bytes]:
        """First the job as it is now, then the log lines that the client missed."""
        memo = Memo(threading.Lock())

        def say(record: JobRecord) -> Iterator[bytes]:
            yield self._job(seen, record, memo)
            yield from self._lines(seen, record, memo)

        return self._tell(seen, memo, say)

    def change(self, seen: Seen, memo: Memo) -> Iterator[bytes]:
        """The job last, so that its end comes after its log."""

        def say(record: JobRecord) -> Iterator[bytes]:
            yield from self._lines(seen, record, memo)
            if seen.stale or record.version != seen.version:
                yield self._job(seen, record, memo)

        return self._tell(seen, memo, say)

    def knows_news(self, seen: Seen, version: int, line: int) -> bool:
        """Whether there is something to tell of a job that is so far."""
        return version > seen.version or (self._logs and line > seen.line)

    def diagnose(self, seen: Seen, memo: Memo) -> None:
        """Look why a queued job waits, which changes without a version."""
        try:
            seen.stale = diagnosis(self._waiting(seen.id, memo)) != seen.waiting
        except JobNotFound:
            seen.stale = False  # the watcher finds that out too

    def _tell(
        self, seen: Seen, memo: Memo, say: Callable[[JobRecord], Iterator[bytes]]
    ) -> Iterator[bytes]:
        store = self._installation.store
        try:
            if not seen.gone:
                record = memo.read("record", READ_FOR, lambda: store.get(seen.id))
                yield from say(record)
                seen.over = record.done
                return
        except JobNotFound:
            seen.gone = True
        seen.over = True
        yield self._event("gone", msgspec.json.encode({"id": seen.id}))

    def _job(self, seen: Seen, record: JobRecord, memo: Memo) -> bytes:
        waiting = self._waiting(seen.id, memo) if record.state is State.QUEUED else None
        seen.version, seen.waiting, seen.stale = record.version, diagnosis(waiting), False
        said = memo.read(
            (record.version, self._base, seen.waiting),
            READ_FOR,
            lambda: self._said(record, waiting),
        )
        if said.poll_after is not None:
            self.poll_after = min(said.poll_after, self.poll_after or said.poll_after)
        return self._event("job", said.data)

    def _said(self, record: JobRecord, waiting: Waiting | None) -> Said:
        document = Job[Any](record, self._installation)._document_below(self._base, waiting)
        return Said(_flat(document), document["poll_after"])

    def _waiting(self, id: str, memo: Memo) -> Waiting | None:
        store = self._installation.store
        return memo.read("waiting", DIAGNOSED_FOR, lambda: store.waiting(id))

    def _lines(self, seen: Seen, record: JobRecord, memo: Memo) -> Iterator[bytes]:
        full = self._logs and record.last_line > seen.line
        while full:
            lines = self._some_lines(seen.id, seen.line, memo)
            for line, data in lines:
                seen.line = line
                yield self._event("log", data)
            full = len(lines) == LINES_AT_ONCE
        seen.line = max(seen.line, record.last_line)

    def _some_lines(self, id: str, after: int, memo: Memo) -> list[tuple[int, bytes]]:
        def read() -> list[tuple[int, bytes]]:
            lines: list[Line] = self._installation.store.lines(id, after, LINES_AT_ONCE)
            return [(line.id, _flat(line_document(line))) for line in lines]

        return memo.read(after, READ_FOR, read)

    def _position(self) -> str:
        """What the client hands back as ``Last-Event-ID`` when it comes again."""
        if self._logs:
            return f"{self._jobs[0].version}.{self._jobs[0].line}"
        return ",".join("-" if seen.gone else str(seen.version) for seen in self._jobs)

    def _event(self, name: str, data: bytes) -> bytes:
        return f"event: {name}\nid: {self._position()}\ndata: ".encode() + data + b"\n\n"


def _flat(document: dict[str, Any]) -> bytes:
    return msgspec.json.encode(document).translate(_FLAT)
