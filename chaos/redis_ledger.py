"""The ledger of jobs in Redis: its keys, read by commands of our own."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis

from chaos.ledger import FINAL, Ledger, Row

T = TypeVar("T")

PATIENCE = 60.0
NAMESPACE = "chaos"


class RedisLedger(Ledger):
    """Reads the keys of one namespace. While Redis is away it waits for it."""

    def __init__(self, url: str) -> None:
        super().__init__(Path("/nowhere"))
        # Answers are typed as whatever Redis might ever say.
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=5.0)

    def _key(self, *parts: str) -> str:
        return ":".join((f"{{bb:{NAMESPACE}}}", *parts))

    def _patiently(self, ask: Callable[[], T]) -> T:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return ask()
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def jobs(self) -> dict[str, Row]:
        return self._patiently(self._read)

    def _read(self) -> dict[str, Row]:
        ids = [id.decode() for id in self._redis.zrange(self._key("all"), 0, -1)]
        pipeline = self._redis.pipeline(transaction=True)
        for id in ids:
            pipeline.hgetall(self._key("job", id))
            pipeline.get(self._key("result", id))
        found = pipeline.execute()
        rows = zip(ids, found[::2], found[1::2], strict=True)
        return {id: _row(id, fields, result) for id, fields, result in rows if fields}

    def unfinished(self) -> list[str]:
        return [row.id for row in self.jobs().values() if row.state not in FINAL]

    def counted(self) -> dict[tuple[str, str], int]:
        return dict(Counter(("default", row.state) for row in self.jobs().values()))

    def counters(self) -> dict[tuple[str, str], int]:
        kept = self._patiently(lambda: self._redis.hgetall(self._key("counters")))
        counters = {}
        for field, jobs in kept.items():
            state, _, queue = field.decode().partition(":")
            if int(jobs):
                counters[queue, state] = int(jobs)
        return counters

    def integrity(self) -> list[str]:
        """What does not fit: jobs that are held by nobody they know of."""
        return [
            f"job {row.id} is running and {row.worker} does not hold it"
            for row in self.jobs().values()
            if row.state == "running" and not self._holds(row)
        ]

    def _holds(self, row: Row) -> bool:
        held = self._key("held", row.worker or "")
        return bool(self._patiently(lambda: self._redis.sismember(held, row.id)))

    def wal_bytes(self) -> int:
        return 0

    def locks(self) -> list[Path]:
        return []

    def living(self) -> set[str]:
        """The workers that have not been silent for too long."""
        since = self._patiently(lambda: self._redis.time())[0] - 9
        names = self._patiently(
            lambda: self._redis.zrangebyscore(self._key("workers"), since, "+inf")
        )
        return {name.decode() for name in names}

    def close(self) -> None:
        self._redis.close()


def _row(id: str, fields: dict[bytes, bytes], result: bytes | None) -> Row:
    def text(name: str) -> str | None:
        return fields[name.encode()].decode() if name.encode() in fields else None

    def number(name: str) -> Any:
        found = text(name)
        return None if found is None else float(found)

    def count(name: str) -> int:
        return int(text(name) or 0)

    state = text("state") or ""
    fault = text("fault") if state == "failed" else None
    return Row(
        id=id,
        task=text("task") or "",
        state=state,
        version=count("version"),
        fence=count("fence"),
        crashes=count("crashes"),
        failures=count("failures"),
        worker=text("worker"),
        current=number("current"),
        total=number("total"),
        code=None if fault is None else json.loads(fault)["code"],
        result=result,
    )
