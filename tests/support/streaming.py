"""The stage's live streams: as many as its budget allows, ended when the test says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from support.waiting import until

TURN = 0.02
"""Seconds between looks at the stage and at whether the client is still there."""


@dataclass
class Opened:
    """One request for a stream, as the server saw it."""

    path: str
    last_id: str
    ended: bool = False


class Streams:
    """The streams of a stage.

    Without a ``budget`` each one is the state and an end. ``mute`` ones say nothing at all,
    ``refused`` ones are none.
    """

    def __init__(self) -> None:
        self.offered = False
        self.budget = 100
        self.mute = False
        self.refused = False
        self.retry = 0.05
        self.opened: list[Opened] = []
        self._cut = threading.Event()

    def cut(self) -> None:
        """End all streams that are open now."""
        self._cut.set()
        self._cut = threading.Event()

    def close(self) -> None:
        """End all of them, and let no more begin."""
        self.mute, self.budget = True, 0
        self.cut()
        until(lambda: not self.open, what="the end of all streams")

    @property
    def open(self) -> list[Opened]:
        """Those that have not ended."""
        return [each for each in self.opened if not each.ended]

    def answer(self, stage: Any, ids: Sequence[str], *, logs: bool) -> Response:
        """A stream of these jobs, from where the client has got to."""
        last_id = request.headers.get("Last-Event-ID", "")
        opened = Opened(request.full_path.rstrip("?"), last_id)
        self.opened.append(opened)
        if self.refused:
            opened.ended = True
            return Response(status=503)
        events = _Events(stage, ids, last_id, logs=logs)
        if events.over():
            opened.ended = True
            return Response(status=204)
        return Response(self._chunks(events, opened), content_type="text/event-stream")

    def _chunks(self, events: _Events, opened: Opened) -> Iterator[str]:
        cut = self._cut
        brief = len(self.open) > self.budget
        try:
            yield f"retry: {self.retry * 1000:.0f}\n\n"
            if not self.mute:
                yield from events.snapshot()
            while not (brief or events.over() or cut.wait(TURN)):
                yield ":\n\n"
                if not self.mute:
                    yield from events.news()
        finally:
            opened.ended = True


class _Events:
    def __init__(self, stage: Any, ids: Sequence[str], last_id: str, *, logs: bool) -> None:
        self._stage = stage
        self._ids = ids
        self._logs = logs
        self._line = len(stage.lines)
        self._versions = dict.fromkeys(ids, 0)
        self._gone: set[str] = set()
        if last_id:
            self._resume(last_id)

    def _resume(self, last_id: str) -> None:
        versions = last_id.split(",")
        if self._logs:
            versions = [last_id.partition(".")[0]]
            self._line = int(last_id.partition(".")[2])
        self._versions = dict(zip(self._ids, map(int, versions), strict=True))

    def over(self) -> bool:
        return all(self._has_all(id) for id in self._ids)

    def _has_all(self, id: str) -> bool:
        job = self._stage.find(id)
        if job is None:
            return id in self._gone
        lines = not self._logs or self._line == len(self._stage.lines)
        return bool(job["done"] and job["version"] <= self._versions[id] and lines)

    def snapshot(self) -> Iterator[str]:
        for id in self._ids:
            yield from self._job(id)
        yield from self._lines()

    def news(self) -> Iterator[str]:
        yield from self._lines()
        for id in self._ids:
            job = self._stage.find(id)
            if job is None or job["version"] > self._versions[id]:
                yield from self._job(id)

    def _job(self, id: str) -> Iterator[str]:
        job = self._stage.find(id)
        if job is not None:
            self._versions[id] = job["version"]
            yield self._event("job", job)
        elif id not in self._gone:
            self._gone.add(id)
            yield self._event("gone", {"id": id})

    def _lines(self) -> Iterator[str]:
        for line in self._stage.lines[self._line :] if self._logs else []:
            self._line = line["id"]
            yield self._event("log", line)

    def _event(self, name: str, data: Any) -> str:
        versions = ",".join(map(str, self._versions.values()))
        id = f"{versions}.{self._line}" if self._logs else versions
        return f"event: {name}\nid: {id}\ndata: {json.dumps(data)}\n\n"
