"""Would a value arrive as the same, in value and in type, down to its leaves?"""

from __future__ import annotations

import datetime
import enum
import pathlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from .flaw import JSON, ROWS, SIMPLE, Flaw, Frame, open_frame, path
from .hint import PATHS
from .shown import show


def difference(sent: Any, arrived: Any) -> Flaw | None:
    """Find where what would arrive is not what was sent."""
    if type(sent) is type(arrived) and type(sent) in SIMPLE and sent == arrived:
        return None
    frames = [Frame(None, "", iter(((None, sent, arrived),)))]
    while frames:
        frame = frames[-1]
        for step, mine, theirs in frame.items:
            frame.step = step
            kind = type(mine)
            if not _is_kin(mine, theirs):
                return _turned(mine, theirs, path(frames))
            if kind in SIMPLE:
                if mine != theirs:
                    return _turned(mine, theirs, path(frames))
            elif opened := open_frame(kind, mine):
                if problem := _misfit(kind, mine, theirs):
                    return msgspec.structs.replace(problem, path=path(frames))
                opened.items = _pairs(kind, opened.items, theirs)
                frames.append(opened)
                break
            elif not _is_same(kind, mine, theirs):
                return _turned(mine, theirs, path(frames))
        else:
            frames.pop()
    return None


def _is_kin(sent: Any, arrived: Any) -> bool:
    # PEP 484: an int is welcome where a float is asked for, if it is the same number
    return type(arrived) is type(sent) or (
        type(sent) is int and type(arrived) is float and sent == arrived
    )


def _misfit(kind: type, sent: Any, arrived: Any) -> Flaw | None:
    if kind is dict:
        return _wrong_keys(sent, arrived)
    fits = kind not in ROWS or len(sent) == len(arrived)
    if kind in (set, frozenset):
        fits = fits and sent == arrived
    return None if fits else _turned(sent, arrived, "")


def _wrong_keys(sent: dict[Any, Any], arrived: dict[Any, Any]) -> Flaw | None:
    if set(map(type, sent)) == set(map(type, arrived)) == {str} and list(sent) == list(arrived):
        return None
    for key, other in zip(sent, arrived, strict=False):
        if not _is_kin(key, other):
            return _turned_key(sent, key, other)
    if len(sent) != len(arrived) or not all(map(_is_same_key, sent, arrived)):
        lost = next((key for key in sent if key not in arrived), None)
        problem = f"it would arrive without the key {show(lost)}"
        if lost is None:
            problem = "two of its keys are the same in JSON"
        return Flaw(sent, problem, "a dict with the keys of its hint")
    return None


def _turned_key(sent: Any, key: Any, other: Any) -> Flaw:
    problem = f"its key {show(key)} would arrive as {_with_kind(other)}"
    wanted = type(other).__name__
    annotate = f"dict[{type(key).__name__}, …]" if type(other) in SIMPLE else ""
    return Flaw(sent, problem, f"it with {wanted} keys", annotate=annotate)


def _pairs(kind: type, items: Iterator[Any], arrived: Any) -> Iterator[tuple[Any, Any, Any]]:
    if kind is dict:
        others: Iterable[Any] = arrived.values()
    elif kind in (set, frozenset):
        twins = {item: item for item in arrived}
        return ((step, item, twins[item]) for step, item in items)
    elif kind in ROWS:
        others = arrived
    else:
        return ((name, item, getattr(arrived, name, msgspec.UNSET)) for name, item in items)
    return ((step, item, other) for (step, item), other in zip(items, others, strict=True))


def _is_same_key(sent: Any, arrived: Any) -> bool:
    return type(sent) is not type(arrived) or _is_same(type(sent), sent, arrived)


def _is_same(kind: type, sent: Any, arrived: Any) -> bool:
    if kind is datetime.datetime or kind is datetime.time:
        return _moment(sent) == _moment(arrived)
    if kind is Decimal:
        return bool(sent.as_tuple() == arrived.as_tuple())
    if kind is memoryview or kind is msgspec.Raw:
        return bytes(sent) == bytes(arrived)
    if issubclass(kind, enum.Enum):
        return sent is arrived
    return bool(sent == arrived)


def _moment(value: Any) -> tuple[Any, ...]:
    """The time on the wall and its offset: all that ISO 8601 carries."""
    if value.tzinfo is None:
        return (value, value.fold, None)
    return (value.replace(tzinfo=None, fold=0), 0, value.utcoffset() or datetime.timedelta(0))


def _turned(sent: Any, arrived: Any, path: str) -> Flaw:
    problem = f"it would arrive as {_with_kind(arrived)}"
    wanted = _of_type(type(arrived))
    if type(sent) is type(arrived):
        offset = isinstance(sent, datetime.datetime | datetime.time)
        return Flaw(sent, problem, "it in UTC" if offset else "a value that JSON can hold", path)
    if type(arrived) not in JSON or type(sent) in JSON:
        return Flaw(sent, problem, wanted, path)
    return Flaw(sent, problem, wanted, path, annotate=_annotation(type(sent)))


def _of_type(kind: type) -> str:
    name = _annotation(kind)
    if kind is type(None):
        return "None"
    return f"an {name}" if name[:1] in "aeiouAEIOU" else f"a {name}"


def _annotation(kind: type) -> str:
    return "Path" if kind in PATHS and issubclass(kind, pathlib.Path) else kind.__name__


def _with_kind(value: Any) -> str:
    shown, name = show(value), type(value).__name__
    return shown if value is None or name in shown else f"the {name} {shown}"
