"""A client of server-sent events: reads a stream as it comes, event by event."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import requests

from support.waiting import until

PATIENCE = 60.0


@dataclass(frozen=True)
class Event:
    """One block of a stream: an event, a time to come again (``retry``), or a comment."""

    name: str
    id: str | None = None
    data: Any = None
    retry: int | None = None


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The blocks of a stream, each when it is complete."""
    rest = b""
    for chunk in chunks:
        *blocks, rest = (rest + chunk).split(b"\n\n")
        yield from map(_event, blocks)
    assert rest == b"", f"the stream ended within {rest!r}"


def _event(block: bytes) -> Event:
    fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if line != ":")
    if not fields:
        return Event("comment")
    if "retry" in fields:
        return Event("retry", retry=int(fields["retry"]))
    return Event(fields["event"], fields.get("id"), json.loads(fields["data"]))


@contextmanager
def opened(url: str, last: str | None = None) -> Iterator[Iterator[Event]]:
    """A stream of a real server; hangs up at the end."""
    headers = {"Last-Event-ID": last} if last else {}
    with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream", answer.text
        yield events(answer.iter_content(None))


class Crowd:
    """So many watchers that come again as ``EventSource`` does, until it is over."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._over = threading.Event()
        self._served = [0] * size
        self._threads = [threading.Thread(target=self._watch, args=(n,)) for n in range(size)]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def all_served(self) -> None:
        """Wait until each of them has seen the job."""
        until(lambda: all(self._served), PATIENCE, lambda: f"an event for all: {self._served}")

    def _watch(self, number: int) -> None:
        pause, last = 0.0, None
        while not self._over.wait(pause):
            with suppress(requests.RequestException), opened(self._url, last) as stream:
                for event in stream:
                    pause = pause if event.retry is None else event.retry / 1000
                    last = event.id or last
                    self._served[number] += event.name == "job"
                    if self._over.is_set():
                        break
