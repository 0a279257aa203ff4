"""What is wrong with a value and where: the walk that looks for it.

A walk keeps its frames in a list instead of recursing, so depth is no danger.
"""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from .shown import show

ATOMS = frozenset(
    {
        type(None),
        bool,
        bytes,
        bytearray,
        memoryview,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        uuid.UUID,
        Decimal,
        msgspec.Raw,
        msgspec.UnsetType,
    }
)
SIMPLE = frozenset({type(None), bool, int, float, str})
JSON = SIMPLE | {list, dict}
ROWS = frozenset({list, tuple, set, frozenset})
_HALF_PATH = 60


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with a value: ``path`` leads to it, ``instead`` says what would do."""

    value: Any
    problem: str
    instead: str
    path: str = ""
    annotate: str = ""
    oversized: bool = False


class Frame:
    """An opened container and how far the walk has come in it."""

    __slots__ = ("container", "items", "step", "style")

    def __init__(self, container: Any, style: str, items: Iterator[Any]) -> None:
        self.container = container
        self.style = style
        self.items = items
        self.step: Any = None


def open_frame(kind: type, value: Any) -> Frame | None:
    if kind in ROWS:
        return Frame(value, "[{}]", enumerate(value))
    if kind is dict:
        return Frame(value, "[{!r}]", iter(value.items()))
    names = field_names(kind)
    if names is None:
        return None
    return Frame(value, ".{}", ((name, getattr(value, name, msgspec.UNSET)) for name in names))


def field_names(kind: Any) -> tuple[str, ...] | None:
    if issubclass(kind, msgspec.Struct):
        return tuple(kind.__struct_fields__)
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(attribute.name for attribute in kind.__attrs_attrs__)
    return tuple(getattr(kind, "_fields", ())) or None if issubclass(kind, tuple) else None


def path(frames: list[Frame]) -> str:
    """The way to the value that is looked at: ``[3].when``."""
    whole = "".join(frame.style.format(_Step(frame.step)) for frame in frames[1:])
    return whole if len(whole) <= 2 * _HALF_PATH else f"{whole[:_HALF_PATH]}…{whole[-_HALF_PATH:]}"


class _Step:
    """A key or an index as a path shows it."""

    def __init__(self, step: Any) -> None:
        self.step = step

    def __format__(self, spec: str) -> str:
        return str(self.step)

    def __repr__(self) -> str:
        return show(self.step)
