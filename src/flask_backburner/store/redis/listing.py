"""Listing jobs: those of one list, newest first, that fit all else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...record import JobRecord
from .fields import pairs, read_record
from .space import Space, texts

READ_AT_ONCE = 500


def find(space: Space, wanted: Mapping[str, str], limit: int, before: float) -> list[JobRecord]:
    """The newest jobs with these fields, at most ``limit``, older than the number ``before``."""
    found: list[JobRecord] = []
    for record in _walk(space, _shortest(space, wanted), limit, before):
        if all(getattr(record, field) == value for field, value in wanted.items()):
            found.append(record)
            if len(found) == limit:
                break
    return found


def _shortest(space: Space, wanted: Mapping[str, str]) -> str:
    """The list to walk through: of the wanted ones that with the fewest jobs."""
    lists = [space.key(field, value) for field, value in wanted.items()] or [space.key("all")]
    if len(lists) == 1:
        return lists[0]
    sizes = space.ask(*(("ZCARD", each) for each in lists))
    return min(zip(sizes, lists, strict=True))[1]


def _walk(space: Space, listed: str, limit: int, before: float) -> Iterator[JobRecord]:
    """The jobs of a list, newest first, read in parts."""
    part, end = min(limit, READ_AT_ONCE), before
    while part > 0:
        (flat,) = space.ask(
            ("ZREVRANGEBYSCORE", listed, f"({end}", "-inf", "WITHSCORES", "LIMIT", 0, part)
        )
        if not flat:
            return
        ids, end = texts(flat[::2]), int(flat[-1])
        answers = space.ask(*(("HGETALL", space.key("job", id)) for id in ids))
        yield from (
            read_record(id, pairs(fields))
            for id, fields in zip(ids, answers, strict=True)
            if fields
        )
        part = READ_AT_ONCE
