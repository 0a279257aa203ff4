"""How a task's function is called: its parameters, what was passed for them, and back again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Any

from ..errors import CallError, DefinitionError
from . import hint as hints
from .shown import show, show_error

ABSENT: Any = object()
_VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_NAMEABLE = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Call:
    """The ways in which one function may be called."""

    def __init__(self, function: Callable[..., Any], task: str) -> None:
        try:
            self._signature = hints.signature(function)
        except Exception as error:  # a callable object may answer with anything
            raise DefinitionError(
                f"Task {task!r} cannot be defined: {show(function)} has no signature "
                f"({show_error(error)}). Write a function around it."
            ) from error
        self.task = task
        self.function = function
        self.returns = self._signature.return_annotation
        self.parameters = tuple(self._signature.parameters.values())
        self.names = tuple(each.name for each in self.parameters)
        self.needed = [each.name for each in self.parameters if is_needed(each)]
        self._positional = [each for each in self.parameters if each.kind in _POSITIONAL]
        self._all_positional = len(self._positional) == len(self.parameters)
        self._all_needed = self._all_positional and len(self.needed) == len(self.parameters)

    def parameter(self, name: str) -> Parameter:
        return self._signature.parameters[name]

    def wraps(self, name: str) -> bool:
        """Whether its values are gathered in one: ``*args`` or ``**kwargs``."""
        return self.parameter(name).kind in _VARIABLE

    def text(self, known: Mapping[str, Any]) -> str:
        """The call as messages show it: ``export(year: int)``."""
        parameters = [
            each.replace(
                annotation=_annotation(each, known.get(each.name, each.annotation)),
                default=each.default if is_needed(each) else _default(each),
            )
            for each in self.parameters
        ]
        name = getattr(self.function, "__name__", self.task)
        return f"{name}{inspect.Signature(parameters)}"

    def bind(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What was passed, by parameter; ``CallError`` says what is missing or too much."""
        if self._all_positional and not kwargs and len(args) == len(self.names):
            return dict(zip(self.names, args, strict=True))
        try:
            return dict(self._signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            found = "; ".join(self._mismatches(args, kwargs)) or show_error(error)
            raise CallError(
                self.task,
                f"Task {self.task!r} cannot be called like this: {found}. "
                f"Pass what its function takes: {self.text(known)}.",
            ) from None

    def _mismatches(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[str]:
        kinds = {each.kind for each in self.parameters}
        placed = {each.name for each in self._positional[: len(args)]}
        nameable = {each.name for each in self.parameters if each.kind in _NAMEABLE}
        for name in self.needed:
            if name not in placed and name not in nameable.intersection(kwargs):
                yield f"the argument {name!r} is missing"
        if Parameter.VAR_POSITIONAL not in kinds:
            for value in args[len(self._positional) :][:3]:
                yield f"the positional argument {show(value)} is one too many"
        for name in kwargs:
            if name in placed and name in nameable:
                yield f"the argument {name!r} is passed twice"
            elif name not in nameable and Parameter.VAR_KEYWORD not in kinds:
                known = name in self.names
                yield f"the argument {show(name)} " + (
                    "must be passed by position" if known else "is unknown"
                )

    def spread(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Turn the values of all parameters (``ABSENT`` among them) into a call."""
        if self._all_needed:
            return tuple(values), {}
        passed = dict(zip(self.names, values, strict=True))
        args = self._args(passed)
        kwargs: dict[str, Any] = {}
        for each in self.parameters[len(args) :]:
            value = passed[each.name]
            if value is ABSENT or each.kind is Parameter.VAR_POSITIONAL:
                continue
            kwargs.update(value if each.kind is Parameter.VAR_KEYWORD else {each.name: value})
        return (*args, *self._rest(passed)), kwargs

    def _args(self, passed: Mapping[str, Any]) -> list[Any]:
        """Positional values up to the first gap; only what cannot be named fills gaps."""
        must = self._must_be_placed(passed)
        args: list[Any] = []
        for number, each in enumerate(self._positional):
            value = passed[each.name]
            if value is ABSENT and number >= must:
                break
            args.append(each.default if value is ABSENT else value)
        return args

    def _must_be_placed(self, passed: Mapping[str, Any]) -> int:
        if self._rest(passed):
            return len(self._positional)
        nameless = (
            number
            for number, each in enumerate(self._positional, start=1)
            if each.kind is Parameter.POSITIONAL_ONLY and passed[each.name] is not ABSENT
        )
        return max(nameless, default=0)

    def _rest(self, passed: Mapping[str, Any]) -> tuple[Any, ...]:
        for each in self.parameters:
            if each.kind is Parameter.VAR_POSITIONAL and passed[each.name] is not ABSENT:
                return tuple(passed[each.name])
        return ()


def is_needed(parameter: Parameter) -> bool:
    """Whether a call must pass it."""
    return parameter.default is Parameter.empty and parameter.kind not in _VARIABLE


class _Verbatim:
    """Text that ``inspect.Signature`` prints as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _annotation(parameter: Parameter, hint: Any) -> Any:
    empty = parameter.annotation is Parameter.empty
    return Parameter.empty if empty else _Verbatim(hints.name(hint))


def _default(parameter: Parameter) -> Any:
    empty = parameter.default is Parameter.empty
    return Parameter.empty if empty else _Verbatim(show(parameter.default))
