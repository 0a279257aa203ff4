"""A task's arguments and results as JSON, by its function's signature and type hints.

Arguments are stored as an object by parameter name, only those that were passed; ``*args`` and
``**kwargs`` under their own names. Whatever is dumped is loaded again at once and compared with
what was given, so that a value which would arrive as something else is refused where it is given.
An aware time keeps its offset, not the name of its zone.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

import msgspec
from msgspec.json import Decoder
from msgspec.structs import astuple

from ..errors import ArgumentError, ResultError
from . import hint as hints
from . import refusal
from .call import ABSENT, Call, is_needed
from .likeness import difference
from .obstacle import survey


class Limits(msgspec.Struct, frozen=True):
    """How large arguments and results may be: bytes of JSON, and levels of containers."""

    arguments_bytes: int = 256 * 1024
    result_bytes: int = 1 << 20
    nesting: int = 64


class _Plan(msgspec.Struct, frozen=True):
    """What is worked out once the hints are known."""

    hints: dict[str, Any]
    returns: Any
    arguments: Decoder[Any]
    result: Decoder[Any]


def _text_of(value: object) -> str:
    if type(value) in hints.PATHS:
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form here")


_encode = msgspec.json.Encoder(enc_hook=_text_of).encode


class Signature:
    """What a task's function takes and gives, as JSON.

    Cheap to make: hints are resolved at the first use, when the module is loaded in full.
    ``DefinitionError`` when the function has no signature.
    """

    def __init__(self, function: Callable[..., Any], task: str) -> None:
        self.task = task
        self._call = Call(function, task)
        self._plan: _Plan | None = None
        self._takes_nothing = False
        self._gives_none = False
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return self._call.text(self._plan.hints if self._plan else {})

    def resolve(self) -> None:
        """Resolve the hints now; ``DefinitionError`` names the one that cannot be used."""
        self._resolved()

    def dump_arguments(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits
    ) -> bytes:
        """Write a call's arguments as JSON.

        Raises ``CallError`` for a missing or an extra one, ``ArgumentError`` for one that would
        not arrive as it is, ``ArgumentsTooLarge``, and ``DefinitionError``.
        """
        if self._takes_nothing and not args and not kwargs:
            return b"{}"
        plan = self._plan or self._resolved()
        passed = self._call.bind(args, kwargs, plan.hints)
        try:
            data = self._write(plan, passed, limits)
            self._compare(plan, passed, plan.arguments.decode(data))
        except ArgumentError:
            raise
        except Exception as error:  # the values' own classes run in there
            raise self._stumbled(plan, passed, error) from error
        return data

    def load_arguments(self, data: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read stored arguments; ``ArgumentError`` if they no longer fit the function."""
        if self._takes_nothing and data == b"{}":
            return (), {}
        plan = self._plan or self._resolved()
        try:
            return self._call.spread(astuple(plan.arguments.decode(data)))
        except Exception as error:  # the hints' own classes run in there
            raise refusal.arguments_outdated(self.task, str(self), error) from error

    def dump_result(self, value: Any, limits: Limits) -> bytes:
        """Write a result as JSON; ``ResultError`` when it would not be read as it is."""
        if value is None and self._gives_none:
            return b"null"
        plan = self._plan or self._resolved()
        try:
            return self._write_result(plan, value, limits)
        except ResultError:
            raise
        except Exception as error:  # the value's own classes run in there
            flaw = refusal.stumble("result", value, plan.returns, error)
            raise refusal.result_refused(self.task, plan.returns, flaw) from error

    def load_result(self, data: bytes) -> Any:
        """Read a stored result; ``ResultError`` if it no longer fits the return hint."""
        plan = self._plan or self._resolved()
        try:
            return plan.result.decode(data)
        except Exception as error:  # the hint's own classes run in there
            raise refusal.result_outdated(self.task, plan.returns, error) from error

    def _resolved(self) -> _Plan:
        with self._lock:
            if self._plan is None:
                plan = self._make_plan()
                self._gives_none = _takes_none(plan.result)
                self._takes_nothing = not self._call.needed
                self._plan = plan
            return self._plan

    def _make_plan(self) -> _Plan:
        known = {
            each.name: self._hint(f"parameter {each.name!r}", each.annotation)
            for each in self._call.parameters
        }
        returns = self._hint("the return value", self._call.returns)
        result = Decoder(returns, dec_hook=hints.revive)
        return _Plan(known, returns, self._arguments_decoder(known), result)

    def _hint(self, subject: str, annotation: Any) -> Any:
        try:
            hint = hints.resolve(annotation, self._call.function)
        except Exception as error:  # a hint is an expression of the user's
            raise refusal.hint_unresolved(self.task, subject, annotation, error) from error
        if fault := hints.fault(hint):
            raise refusal.hint_unsupported(self.task, subject, hint, fault)
        return hint

    def _arguments_decoder(self, known: Mapping[str, Any]) -> Decoder[Any]:
        # Fields are numbered, so that no parameter's name meets a name of the struct's own
        names = {f"p{number}": name for number, name in enumerate(self._call.names)}
        fields = [
            (field, _stored(each, known), msgspec.field(default=_default(each)))
            for field, each in zip(names, self._call.parameters, strict=True)
        ]
        stored = msgspec.defstruct(
            "Arguments", fields, rename=names, kw_only=True, forbid_unknown_fields=True
        )
        return Decoder(stored, dec_hook=hints.revive)

    def _write(self, plan: _Plan, passed: Mapping[str, Any], limits: Limits) -> bytes:
        allowed = limits.arguments_bytes
        for name, value in passed.items():
            flaw = survey(value, limits.nesting, allowed, outer=self._call.wraps(name))
            if flaw and flaw.oversized:
                raise refusal.arguments_too_large(self.task, name, _more(allowed), allowed)
            if flaw:
                raise refusal.argument_refused(self.task, name, plan.hints[name], flaw)
        data = _encode(passed)
        if len(data) > allowed:
            name = max(passed, key=lambda name: len(_encode(passed[name])))
            raise refusal.arguments_too_large(self.task, name, f"{len(data)} bytes", allowed)
        return data

    def _compare(self, plan: _Plan, passed: Mapping[str, Any], arrived: msgspec.Struct) -> None:
        for name, twin in zip(self._call.names, astuple(arrived), strict=True):
            sent = passed.get(name, ABSENT)
            if sent is not twin and (flaw := difference(sent, twin)):
                raise refusal.argument_refused(self.task, name, plan.hints[name], flaw)

    def _stumbled(self, plan: _Plan, passed: Mapping[str, Any], error: Exception) -> ArgumentError:
        """Find the argument that the whole stumbled over."""
        found = next(iter(passed))
        for name, value in passed.items():
            try:
                stored = _stored(self._call.parameter(name), plan.hints)
                Decoder(stored, dec_hook=hints.revive).decode(_encode(value))
            except Exception as own:  # the same again, for one argument alone
                found, error = name, own
                break
        hint = plan.hints[found]
        flaw = refusal.stumble(found, passed[found], hint, error)
        return refusal.argument_refused(self.task, found, hint, flaw)

    def _write_result(self, plan: _Plan, value: Any, limits: Limits) -> bytes:
        allowed = limits.result_bytes
        flaw = survey(value, limits.nesting, allowed)
        if flaw and flaw.oversized:
            raise refusal.result_too_large(self.task, _more(allowed), allowed)
        data = b"" if flaw else _encode(value)
        if len(data) > allowed:
            raise refusal.result_too_large(self.task, f"{len(data)} bytes", allowed)
        flaw = flaw or difference(value, plan.result.decode(data))
        if flaw:
            raise refusal.result_refused(self.task, plan.returns, flaw)
        return data


def _stored(parameter: Parameter, known: Mapping[str, Any]) -> Any:
    hint = known[parameter.name]
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return types.GenericAlias(tuple, (hint, ...))
    if parameter.kind is Parameter.VAR_KEYWORD:
        return types.GenericAlias(dict, (str, hint))
    return hint


def _default(parameter: Parameter) -> Any:
    return msgspec.NODEFAULT if is_needed(parameter) else ABSENT


def _takes_none(decoder: Decoder[Any]) -> bool:
    try:
        return decoder.decode(b"null") is None
    except Exception:  # a hint's own class may raise anything; then it takes no None
        return False


def _more(limit: int) -> str:
    return f"more than {limit} bytes"
