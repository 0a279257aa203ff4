"""Stream: some jobs as server-sent events for a bounded time: what they are, then each change."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ..document import diagnosis
from ..errors import JobNotFound, StoreError
from ..installation import Installation
from ..job import Job
from ..record import JobRecord
from ..store.base import Mark
from .live import DIAGNOSIS_INTERVAL
from .page import line_document
from .server import Server
from .watcher import Watch

SHORTEST_LIFE = 17.0
LONGEST_LIFE = 20.0
BURST_INTERVAL = 0.25
SILENCE = 10.0
AT_ONCE = 0.1
AFTER_LOSS = 1.0
AFTER_TROUBLE = 5.0
LINES_AT_ONCE = 200
PIECE = 32 << 10

COMMENT = b":\n\n"
DONE = b"event: done\ndata: {}\n\n"
# Line breaks stand between the tokens of JSON only, but would end a line of the stream
_FLAT = bytes.maketrans(b"\r\n", b"  ")

logger = logging.getLogger("flask_backburner")


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


class Stream:
    """The body of one answer. It needs no request, no app context and no open read."""

    def __init__(
        self,
        installation: Installation,
        jobs: Sequence[Seen],
        *,
        logs: bool,
        server: Server,
        hung_up: Callable[[], bool],
    ) -> None:
        """To be made in a request; with ``logs`` it is of one job and tells its log lines."""
        self._installation = installation
        self._base = installation.base()
        self._jobs = jobs
        self._logs = logs
        self._server = server
        self._hung_up = hung_up
        self._poll_after = LONGEST_LIFE

    def chunks(self) -> Iterator[bytes]:
        """The events, for as long as there is room for this stream."""
        live = self._installation.live
        try:
            slot = live.budget.take(self._server)
            if slot is None:
                yield from _packed(self._in_brief())
                return
            ids = [seen.id for seen in self._jobs if not (seen.gone or seen.over)]
            with slot, live.watcher.watch(ids, self._hung_up) as watch:
                yield from self._at_length(watch)
        except StoreError as error:
            logger.error("A live stream ends, because its store cannot be used: %s", error)
            yield _retry(AFTER_TROUBLE)

    def _in_brief(self) -> Iterator[bytes]:
        """The state, and when to come again: polling, in the language of streams."""
        yield from self._snapshots()
        yield DONE if self._over else _retry(self._poll_after)

    def _at_length(self, watch: Watch) -> Iterator[bytes]:
        ends_at = time.monotonic() + random.uniform(SHORTEST_LIFE, LONGEST_LIFE)
        yield _retry(AFTER_LOSS)
        yield from _packed(self._snapshots())
        yield from self._changes(watch, ends_at)
        if self._over:
            yield DONE
        elif not watch.over:
            yield _retry(AT_ONCE)

    def _snapshots(self) -> Iterator[bytes]:
        for seen in self._jobs:
            if not seen.over:
                yield from self._tell(seen, self._snapshot)

    def _changes(self, watch: Watch, ends_at: float) -> Iterator[bytes]:
        told_at, wrote_at = 0.0, time.monotonic()
        diagnosed_at = wrote_at
        while not (self._over or watch.over or (now := time.monotonic()) >= ends_at):
            if now >= diagnosed_at + DIAGNOSIS_INTERVAL:
                diagnosed_at = now
                self._diagnose()
            changed = [seen for seen in self._jobs if self._has_news(seen, watch)]
            if changed and (now >= told_at + BURST_INTERVAL or self._is_end(watch)):
                told_at = wrote_at = now
                yield from _packed(self._told(changed))
            elif now >= wrote_at + SILENCE:
                wrote_at = now
                yield COMMENT
            else:
                soon = told_at + BURST_INTERVAL if changed else diagnosed_at + DIAGNOSIS_INTERVAL
                watch.wait(min(ends_at, wrote_at + SILENCE, soon) - now)

    @property
    def _over(self) -> bool:
        return all(seen.over for seen in self._jobs)

    def _has_news(self, seen: Seen, watch: Watch) -> bool:
        if seen.over or not watch.knows(seen.id):
            return seen.stale
        mark = watch.mark(seen.id)
        return (
            mark is None
            or mark.version > seen.version
            or (self._logs and mark.last_line > seen.line)
            or seen.stale
        )

    def _is_end(self, watch: Watch) -> bool:
        """Whether what is to be told is the last there is to tell."""
        return all(seen.over or _has_ended(watch, seen) for seen in self._jobs)

    def _diagnose(self) -> None:
        """Look why the queued ones wait, which changes without a version."""
        for seen in self._jobs:
            if seen.waiting and not seen.over:
                seen.stale = self._waits_otherwise(seen)

    def _waits_otherwise(self, seen: Seen) -> bool:
        try:
            return diagnosis(self._installation.store.waiting(seen.id)) != seen.waiting
        except JobNotFound:
            return False

    def _told(self, changed: Iterable[Seen]) -> Iterator[bytes]:
        for seen in changed:
            yield from self._tell(seen, self._change)

    def _tell(
        self, seen: Seen, how: Callable[[Seen, JobRecord], Iterator[bytes]]
    ) -> Iterator[bytes]:
        try:
            if not seen.gone:
                record = self._installation.store.get(seen.id)
                yield from how(seen, record)
                seen.over = record.done
                return
        except JobNotFound:
            seen.gone = True
        seen.over = True
        yield self._event("gone", {"id": seen.id}, self._position())

    def _snapshot(self, seen: Seen, record: JobRecord) -> Iterator[bytes]:
        """First the job as it is, then the log lines that the client missed."""
        yield self._job(seen, record)
        yield from self._lines(seen, record)

    def _change(self, seen: Seen, record: JobRecord) -> Iterator[bytes]:
        """The job last, so that its end comes after its log."""
        yield from self._lines(seen, record)
        if seen.stale or record.version != seen.version:
            yield self._job(seen, record)

    def _job(self, seen: Seen, record: JobRecord) -> bytes:
        job = Job[Any](record, self._installation)
        waiting = job.waiting
        document = job._document_below(self._base, waiting)
        seen.version, seen.waiting, seen.stale = record.version, diagnosis(waiting), False
        self._poll_after = min(self._poll_after, document["poll_after"] or LONGEST_LIFE)
        return self._event("job", document, self._position())

    def _lines(self, seen: Seen, record: JobRecord) -> Iterator[bytes]:
        full = self._logs and record.last_line > seen.line
        while full:
            lines = self._installation.store.lines(seen.id, seen.line, LINES_AT_ONCE)
            for line in lines:
                seen.line = line.id
                yield self._event("log", line_document(line), self._position())
            full = len(lines) == LINES_AT_ONCE
        seen.line = max(seen.line, record.last_line)

    def _position(self) -> str:
        """What the client hands back as ``Last-Event-ID`` when it comes again."""
        if self._logs:
            return f"{self._jobs[0].version}.{self._jobs[0].line}"
        return ",".join("-" if seen.gone else str(seen.version) for seen in self._jobs)

    def _event(self, name: str, data: dict[str, Any], id: str) -> bytes:
        head = f"event: {name}\nid: {id}\ndata: "
        return head.encode() + msgspec.json.encode(data).translate(_FLAT) + b"\n\n"


def _has_ended(watch: Watch, seen: Seen) -> bool:
    mark: Mark | None = watch.mark(seen.id)
    return watch.knows(seen.id) and (mark is None or mark.state.done)


def _retry(seconds: float) -> bytes:
    return f"retry: {round(seconds * 1000)}\n\n".encode()


def _packed(events: Iterable[bytes]) -> Iterator[bytes]:
    """Small events together, because each chunk is a write of its own."""
    pack: list[bytes] = []
    size = 0
    for event in events:
        pack.append(event)
        size += len(event)
        if size >= PIECE:
            yield b"".join(pack)
            pack, size = [], 0
    if pack:
        yield b"".join(pack)
