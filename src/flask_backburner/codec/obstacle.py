"""What stands in the way of JSON, whatever the type hint: a proxy, a file, a cycle, NaN, …"""

from __future__ import annotations

import datetime
import enum
import io
import math
import types
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
from werkzeug.datastructures import FileStorage
from werkzeug.local import LocalProxy

from .flaw import ATOMS, ROWS, SIMPLE, Flaw, Frame, field_names, open_frame, path
from .hint import PATHS
from .shown import show

_CONVERTIBLE = (str, bytes, bytearray, int, float, dict, list, tuple, set, frozenset)
_BASES = (
    *_CONVERTIBLE,
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    Decimal,
)
_KEYS = (ATOMS - {bool, type(None), memoryview, msgspec.Raw, msgspec.UnsetType}) | PATHS
_SMALLEST, _BIGGEST = -(2**63), 2**64 - 1


def _is_safe_int(value: int) -> bool:
    return _SMALLEST <= value <= _BIGGEST


def _key_size(value: dict[Any, Any]) -> int:
    return 2 + sum(map(len, value)) if set(map(type, value)) == {str} else 2 + len(value)


_QUICK: dict[type, Callable[[Any], bool]] = {
    str: str.isascii,
    int: _is_safe_int,
    float: math.isfinite,
}
_LEAST_SIZE: dict[type, Callable[[Any], int]] = {
    str: len,
    bytes: len,
    bytearray: len,
    dict: _key_size,
}


def survey(root: Any, nesting: int, room: int, *, outer: int = 0) -> Flaw | None:
    """Find why ``root`` cannot travel whatever its hint.

    ``room`` is the most bytes that it may take, which bounds the work too; the ``outer`` levels
    of ``*args`` and ``**kwargs`` do not count as nesting.
    """
    frames = [Frame(None, "", iter(((None, root),)))]
    while frames:
        frame = frames[-1]
        for step, value in frame.items:
            kind = type(value)
            room -= _LEAST_SIZE[kind](value) if kind in _LEAST_SIZE else 1
            if room >= 0 and kind in _QUICK and _QUICK[kind](value):
                continue
            frame.step = step
            if room < 0:
                return Flaw(value, "it is too large", "less", path(frames), oversized=True)
            if kind in ATOMS:
                continue
            if found := _hopeless(kind, value):
                return Flaw(value, *found, path=path(frames))
            if opened := open_frame(kind, value):
                if len(frames) > nesting + outer:
                    return _too_deep(frames, value, nesting)
                frames.append(opened)
                break
        else:
            frames.pop()
    return None


def _too_deep(frames: list[Frame], value: Any, nesting: int) -> Flaw:
    holders = [frame.container for frame in frames[1:]]
    top = frames[1].container
    if len({id(holder) for holder in (*holders, value)}) <= len(holders):
        return Flaw(top, "it contains itself", "it without the cycle")
    return Flaw(top, f"it is nested deeper than {nesting} levels", "a flatter value")


def _hopeless(kind: type, value: Any) -> tuple[str, str] | None:
    if kind in SIMPLE:
        return _wrong_atom(kind, value)
    if kind in PATHS:
        return _wrong_atom(str, str(value))
    if kind is dict:
        if set(map(type, value)) <= {str} and "".join(value).isascii():
            return None
        return next(filter(None, map(_wrong_key, value)), None)
    if kind in ROWS:
        return None
    return _foreign(kind, value)


def _wrong_atom(kind: type, value: Any) -> tuple[str, str] | None:
    if kind is float and not math.isfinite(value):
        word = "NaN" if math.isnan(value) else "infinity"
        return f"JSON has no {word}", "None, or a finite number"
    if kind is int and not _is_safe_int(value):
        return "it is an int beyond 64 bits", "it as a str"
    if kind is str and not _is_unicode(value):
        return (
            "it holds half a character (a lone surrogate), which UTF-8 cannot write",
            "its bytes, or text cleaned with `.encode('utf-8', 'replace').decode()`",
        )
    return None


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong_key(key: Any) -> tuple[str, str] | None:
    kind = type(key)
    if kind in _KEYS or kind in (str, int, float):
        found = None if kind in ATOMS else _hopeless(kind, key)
        return found and (f"{found[0]} (its key {show(key)})", "it with other keys")
    if issubclass(kind, enum.Enum):
        return None
    if issubclass(kind, str):
        return f"its key {show(key)} would arrive as a plain str", "it with plain str keys"
    return f"its key {show(key)} cannot be a key in JSON", "it with str keys"


def _foreign(kind: type, value: Any) -> tuple[str, str] | None:
    if issubclass(kind, LocalProxy):
        return (
            "it is a proxy that means something only here and now",
            "the value or the id that you need from it, or `._get_current_object()` of it "
            "if that is a plain value",
        )
    if hasattr(value, "_sa_instance_state"):
        return (
            "it is a database row bound to its session",
            "its primary key and load it in the task",
        )
    if issubclass(kind, enum.Enum) or field_names(kind) is not None:
        return None
    for base in _BASES:
        if issubclass(kind, base):
            return f"a {kind.__name__} would arrive as a plain {base.__name__}", _plainly(
                kind, base
            )
    return _unsupported(kind)


def _plainly(kind: type, base: type) -> str:
    if hasattr(kind, "to_dict"):
        return "its `.to_dict()`"
    return f"`{base.__name__}(…)` of it" if base in _CONVERTIBLE else f"a plain {base.__name__}"


_FILE = "an open file belongs to this process", "the path of a saved file"
_AWAITABLE = "it is not awaited yet", "what awaiting it gives"
_FUNCTION = "a function cannot travel as JSON", "its name as a str and look it up in the task"
_KINDS: dict[type, tuple[str, str]] = {
    types.GeneratorType: ("a generator can be read only once", "a list of its items"),
    types.FunctionType: _FUNCTION,
    types.MethodType: _FUNCTION,
    types.BuiltinFunctionType: _FUNCTION,
    type: ("a class cannot travel as JSON", "its name as a str and look it up in the task"),
    io.IOBase: _FILE,
    FileStorage: _FILE,
    Awaitable: _AWAITABLE,
    AsyncIterator: _AWAITABLE,
    Iterator: ("an iterator can be read only once", "a list of its items"),
}


def _unsupported(kind: type) -> tuple[str, str]:
    for known, words in _KINDS.items():
        if issubclass(kind, known):
            return words
    if hasattr(kind, "read") and hasattr(kind, "close"):
        return _FILE
    problem = f"a {kind.__name__} cannot travel as JSON"
    for method in ("tolist", "model_dump", "to_dict"):
        if hasattr(kind, method):
            return problem, f"its `.{method}()`"
    if issubclass(kind, Iterable):
        return problem, "`list(…)` of it"
    return problem, "an id, plain values or a dataclass"
