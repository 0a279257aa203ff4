"""Type hints: what they resolve to, whether JSON can carry them, their names in messages."""

from __future__ import annotations

import functools
import inspect
import pathlib
import re
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec

if sys.version_info >= (3, 14):
    import annotationlib

PATHS = frozenset(
    {
        pathlib.PurePath,
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        pathlib.Path,
        pathlib.PosixPath,
        pathlib.WindowsPath,
    }
)
PLAIN = "plain JSON: None, bool, int, float, str, list, or dict with str keys"
ALLOWED = (
    "Allowed are None, bool, int, float, str, bytes, date, datetime, time, timedelta, UUID, "
    "Decimal, Path, enums (all str or all int), dataclasses, TypedDict, NamedTuple, msgspec "
    "Structs, and list, tuple, set, dict or Optional of these."
)
_VARIABLES = (typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple)
_NO_KEYS = (
    msgspec.inspect.NoneType,
    msgspec.inspect.BoolType,
    msgspec.inspect.ListType,
    msgspec.inspect.SetType,
    msgspec.inspect.FrozenSetType,
    msgspec.inspect.TupleType,
    msgspec.inspect.VarTupleType,
    msgspec.inspect.NamedTupleType,
    msgspec.inspect.DictType,
    msgspec.inspect.TypedDictType,
    msgspec.inspect.DataclassType,
    msgspec.inspect.StructType,
)
_MODULES = re.compile(r"(?<![\w.'\"])(?:[A-Za-z_]\w*\.|<locals>\.)+")


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature that a caller sees, with no hint evaluated yet."""
    if sys.version_info >= (3, 14):
        forward = annotationlib.Format.FORWARDREF
        return inspect.signature(function, annotation_format=forward)
    return inspect.signature(function)


def resolve(annotation: Any, function: Callable[..., Any]) -> Any:
    """Evaluate one annotation of ``function``; raises whatever its text raises."""
    if annotation is inspect.Parameter.empty:
        return Any

    def holder() -> None: ...

    holder.__annotations__ = {"hint": annotation}
    return typing.get_type_hints(holder, _globals(function), include_extras=True)["hint"]


def _globals(function: Any) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if hasattr(function, "__globals__"):
        return dict(function.__globals__)
    return dict(vars(sys.modules.get(type(function).__module__, typing)))


def fault(hint: Any) -> str | None:
    """Why the codec cannot carry this hint, as the end of "the hint is X, and …"."""
    for part in _parts(hint):
        if isinstance(part, _VARIABLES):
            return f"`{part.__name__}` stands for no type of its own"
    try:
        msgspec.json.Decoder(hint, dec_hook=revive)
        info = msgspec.inspect.type_info(hint)
    except Exception as error:  # a metaclass or a default factory may raise anything
        return _reason(error)
    return next(filter(None, map(_node_fault, _nodes(info, set()))), None)


def _reason(error: Exception) -> str:
    text = str(error)
    if text.startswith("Type unions"):
        return "JSON cannot tell the members of the union apart: use one of them alone"
    return f"it is not supported ({text})"


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for part in hint if isinstance(hint, list) else typing.get_args(hint):
        yield from _parts(part)


def _nodes(node: Any, seen: set[int]) -> Iterator[Any]:
    if isinstance(node, tuple):
        for member in node:
            yield from _nodes(member, seen)
    elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field) and id(node) not in seen:
        seen.add(id(node))
        yield node
        yield from _nodes(tuple(getattr(node, name) for name in node.__struct_fields__), seen)


def _node_fault(node: Any) -> str | None:
    if isinstance(node, msgspec.inspect.CustomType) and node.cls not in PATHS | {object}:
        if hasattr(node.cls, "_sa_class_manager"):
            return f"`{name(node.cls)}` is a database row: take its primary key instead"
        return f"`{name(node.cls)}` cannot be made from JSON"
    if isinstance(node, msgspec.inspect.ExtType):
        return "`Ext` has no JSON form"
    if isinstance(node, msgspec.inspect.DictType) and isinstance(node.key_type, _NO_KEYS):
        return "only text, numbers, dates and enums can be keys in JSON"
    return None


def revive(kind: Any, value: Any) -> Any:
    """Make what msgspec itself cannot: a path from its text."""
    if kind is object:
        return value
    if not isinstance(value, str):
        raise TypeError(f"Expected `{name(kind)}`")
    return kind(value)


def name(hint: Any) -> str:
    """The hint as its author would write it."""
    if hint is type(None):
        return "None"
    if typing.get_origin(hint) is Annotated:
        plain, *metadata = typing.get_args(hint)
        bounds = [_bounds(meta) for meta in metadata if isinstance(meta, msgspec.Meta)]
        return " ".join([name(plain), *filter(None, bounds)])
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return hint if isinstance(hint, str) else _MODULES.sub("", repr(hint))


def _bounds(meta: msgspec.Meta) -> str:
    given = {
        key: getattr(meta, key)
        for key in ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length")
    }
    text = ", ".join(f"{key}={value!r}" for key, value in given.items() if value is not None)
    return text and f"({text})"
