"""Stream: some jobs as server-sent events for a bounded time: what they are, then each change."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..errors import StoreError
from ..installation import Installation
from ..live.server import Server
from ..live.waits import DIAGNOSIS_INTERVAL
from ..live.watcher import Watch
from .teller import Seen, Teller

SHORTEST_LIFE = 17.0
LONGEST_LIFE = 20.0
BURST_INTERVAL = 0.25
SILENCE = 10.0
AT_ONCE = 0.1
AFTER_LOSS = 1.0
AFTER_TROUBLE = 5.0
PIECE = 32 << 10

COMMENT = b":\n\n"
DONE = b"event: done\ndata: {}\n\n"

logger = logging.getLogger("flask_backburner")


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
        self._live = installation.live
        self._teller = Teller(installation, jobs, logs=logs)
        self._jobs = jobs
        self._server = server
        self._hung_up = hung_up

    def chunks(self) -> Iterator[bytes]:
        """The events, for as long as there is room for this stream."""
        try:
            slot = self._live.budget.take(self._server)
            if slot is None:
                yield from _packed(self._in_brief())
                return
            ids = [seen.id for seen in self._jobs if not (seen.gone or seen.over)]
            with slot, self._live.watcher.watch(ids, self._hung_up) as watch:
                yield from self._at_length(watch)
        except StoreError as error:
            logger.error("A live stream ends, because its store cannot be used: %s", error)
            yield _retry(AFTER_TROUBLE)

    def _in_brief(self) -> Iterator[bytes]:
        """The state, and when to come again: polling, in the language of streams."""
        yield from self._snapshots()
        yield DONE if self._over else _retry(self._teller.poll_after or AFTER_LOSS)

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
                yield from self._teller.snapshot(seen)

    def _changes(self, watch: Watch, ends_at: float) -> Iterator[bytes]:
        told_at, wrote_at = 0.0, time.monotonic()
        diagnosed_at = wrote_at
        while not (self._over or watch.over or (now := time.monotonic()) >= ends_at):
            if now >= diagnosed_at + DIAGNOSIS_INTERVAL:
                diagnosed_at = now
                self._diagnose(watch)
            changed = [seen for seen in self._jobs if self._has_news(seen, watch)]
            if changed and (now >= told_at + BURST_INTERVAL or self._is_end(watch)):
                told_at = wrote_at = now
                yield from _packed(self._told(changed, watch))
            elif now >= wrote_at + SILENCE:
                wrote_at = now
                yield COMMENT
            else:
                until = [ends_at, wrote_at + SILENCE]
                until += [told_at + BURST_INTERVAL] if changed else []
                until += [diagnosed_at + DIAGNOSIS_INTERVAL] if self._waiting else []
                watch.wait(min(until) - now)

    @property
    def _over(self) -> bool:
        return all(seen.over for seen in self._jobs)

    @property
    def _waiting(self) -> list[Seen]:
        return [seen for seen in self._jobs if seen.waiting and not seen.over]

    def _diagnose(self, watch: Watch) -> None:
        for seen in self._waiting:
            found = watch.found(seen.id)
            if found is not None:
                self._teller.diagnose(seen, found.memo)

    def _has_news(self, seen: Seen, watch: Watch) -> bool:
        found = watch.found(seen.id)
        if seen.over or found is None:
            return False
        if found.mark is None or seen.stale:
            return True
        return self._teller.knows_news(seen, found.mark.version, found.mark.last_line)

    def _is_end(self, watch: Watch) -> bool:
        """Whether what is to be told is the last there is to tell."""
        return all(seen.over or _has_ended(watch, seen) for seen in self._jobs)

    def _told(self, changed: Iterable[Seen], watch: Watch) -> Iterator[bytes]:
        for seen in changed:
            found = watch.found(seen.id)
            if found is not None:
                yield from self._teller.change(seen, found.memo)


def _has_ended(watch: Watch, seen: Seen) -> bool:
    found = watch.found(seen.id)
    return found is not None and (found.mark is None or found.mark.state.done)


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
