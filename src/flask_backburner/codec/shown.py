"""Values in words: short, quick and harmless whatever the value is."""

from __future__ import annotations

import datetime
import enum
import itertools
import pathlib
import types
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

LONGEST = 80
_LEVELS = 3
_ITEMS = 4
_BITS = 256
_BRACKETS: dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}
_SPOKEN = (
    bool,
    float,
    complex,
    type(None),
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    Decimal,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
    pathlib.PosixPath,
    pathlib.WindowsPath,
)


def show(value: Any) -> str:
    """Show a value in an error message, in at most ``LONGEST`` characters.

    Nothing that belongs to the value's own class runs, so that a lazy database row, a huge
    structure or a broken ``__repr__`` does no harm.
    """
    return _cut(_show(value, _LEVELS))


def _show(value: Any, levels: int) -> str:
    kind = type(value)
    if kind is int:
        bits = value.bit_length()
        return repr(value) if bits <= _BITS else f"<int of {bits} bits>"
    if issubclass(kind, str | bytes):
        return _show_text(kind, value)
    if kind in _SPOKEN:
        return repr(value)
    if issubclass(kind, enum.Enum):
        return f"{kind.__name__}.{value._name_}"
    if kind in _BRACKETS:
        return _show_items(value, _BRACKETS[kind], levels)
    if kind is dict:
        return _show_dict(value, levels)
    if issubclass(kind, type | types.FunctionType):
        return f"<{'class' if issubclass(kind, type) else 'function'} {value.__name__}>"
    return _show_fields(kind, value, levels)


def _show_fields(kind: type, value: Any, levels: int) -> str:
    """A plain record by its fields, read without running its code; all else by its class."""
    fields = getattr(kind, "__dataclass_fields__", None)
    if issubclass(kind, msgspec.Struct):
        fields = value.__struct_fields__
        held = {name: getattr(value, name) for name in fields}
    elif isinstance(fields, dict) and "__dict__" in dir(kind):
        held = object.__getattribute__(value, "__dict__")
    else:
        return f"<{kind.__name__} object>"
    parts = (f"{name}={_show(held[name], levels - 1)}" for name in fields if name in held)
    return f"{kind.__name__}({_join(parts, levels)})"


def _show_text(kind: type, value: Any) -> str:
    plain = str if issubclass(kind, str) else bytes
    text = repr(plain.__getitem__(value, slice(LONGEST)))
    return text if kind is plain else f"{kind.__name__}({text})"


def _show_items(value: Iterable[Any], brackets: str, levels: int) -> str:
    shown = _join((_show(item, levels - 1) for item in value), levels)
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    return f"{brackets[0]}{shown}{comma}{brackets[1]}"


def _show_dict(value: dict[Any, Any], levels: int) -> str:
    items = (f"{_show(k, levels - 1)}: {_show(v, levels - 1)}" for k, v in value.items())
    return "{" + _join(items, levels) + "}"


def _join(parts: Iterable[str], levels: int) -> str:
    if levels <= 0:
        return "…"
    shown = list(itertools.islice(parts, _ITEMS + 1))
    if len(shown) > _ITEMS:
        shown[_ITEMS] = "…"
    return ", ".join(shown)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def show_error(error: BaseException) -> str:
    """What an exception says, without running code of its class."""
    text = error.args[0] if error.args and type(error.args[0]) is str else ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
