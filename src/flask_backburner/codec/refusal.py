"""What is said about values that cannot travel: what happened, with the value, and what to do."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..errors import ArgumentError, ArgumentsTooLarge, DefinitionError, ResultError
from . import hint as hints
from .flaw import Flaw
from .shown import show, show_error

_PLACE = re.compile(r"(?P<problem>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"field `(.*?)`|`\$\.(\w+)")


def hint_unresolved(task: str, subject: str, annotation: Any, error: Exception) -> DefinitionError:
    return DefinitionError(
        f"Task {task!r} cannot be defined: the hint of {subject}, `{hints.name(annotation)}`, "
        f"cannot be resolved ({show_error(error)}). Define its names at the top of the module "
        "and import them at run time, not only under TYPE_CHECKING."
    )


def hint_unsupported(task: str, subject: str, hint: Any, fault: str) -> DefinitionError:
    return DefinitionError(
        f"Task {task!r} cannot be defined: the hint of {subject} is `{hints.name(hint)}`, "
        f"and {fault}. {hints.ALLOWED}"
    )


def argument_refused(task: str, name: str, hint: Any, flaw: Flaw) -> ArgumentError:
    advice = _advice(flaw, "pass", f"parameter {name!r}", f"`{name}: {flaw.annotate}`")
    return ArgumentError(
        task,
        name,
        f"Task {task!r} cannot take {name}{flaw.path}={show(flaw.value)}: "
        f"{flaw.problem}{_because(flaw, hint)}. {advice}",
        expected=hints.PLAIN if hint is Any else hints.name(hint),
    )


def arguments_too_large(task: str, name: str, size: str, limit: int) -> ArgumentsTooLarge:
    return ArgumentsTooLarge(
        task,
        name,
        f"The arguments of task {task!r} take {size} as JSON, {name!r} the most of it, and "
        f"at most {limit} bytes are allowed. Save the data first and pass its path or its id.",
        expected=f"at most {limit} bytes of JSON",
    )


def arguments_outdated(task: str, takes: str, error: Exception) -> ArgumentError:
    named = _NAMED.search(str(error)) if isinstance(error, msgspec.MsgspecError) else None
    return ArgumentError(
        task,
        next(filter(None, named.groups()), "") if named else "",
        f"The stored arguments of task {task!r} no longer fit {takes}: {_fault_of(error)}. "
        "The function has changed since the job was started: start the job again, "
        "or let the function take the old arguments too.",
        expected=takes,
    )


def result_refused(task: str, hint: Any, flaw: Flaw) -> ResultError:
    place = f" as result{flaw.path}" if flaw.path else ""
    advice = _advice(flaw, "return", "the return value", f"`-> {flaw.annotate}`")
    return ResultError(
        f"Task {task!r} cannot return {show(flaw.value)}{place}: "
        f"{flaw.problem}{_because(flaw, hint)}. {advice}"
    )


def result_too_large(task: str, size: str, limit: int) -> ResultError:
    return ResultError(
        f"The result of task {task!r} takes {size} as JSON and at most {limit} bytes are allowed. "
        "Write it to a file with current_job.attach() and return what is short."
    )


def result_outdated(task: str, hint: Any, error: Exception) -> ResultError:
    return ResultError(
        f"The stored result of task {task!r} no longer fits its return hint, "
        f"`{hints.name(hint)}`: {_fault_of(error)}. The function has changed since the job ran: "
        "run it again, or let the hint take the old result too."
    )


def stumble(name: str, value: Any, hint: Any, error: Exception) -> Flaw:
    """The flaw behind an error of the encoder, of the decoder or of the value's own class."""
    if isinstance(error, msgspec.ValidationError):
        wanted = f"a value of the type `{hints.name(hint)}`"
        return Flaw(value, _misfit(name, value, hint, str(error)), wanted)
    if isinstance(error, RecursionError):
        return Flaw(value, "it is nested too deep", "a flatter value")
    return Flaw(value, f"it cannot be written as JSON ({show_error(error)})", "plain values")


def _misfit(name: str, value: Any, hint: Any, text: str) -> str:
    place = _PLACE.fullmatch(text)
    problem, path = (place["problem"], place["path"] or "") if place else (text, "")
    if place and place["key"]:
        return f"{_lowered(problem)} as a key of {name}{path}"
    if path:
        return f"{_lowered(problem.partition(', got ')[0])} at {name}{path}"
    if ", got " in problem or not isinstance(value, str | int | float):
        return f"{_expected(hint, problem)}, got `{type(value).__name__}`"
    return _lowered(problem)


def _expected(hint: Any, problem: str) -> str:
    first = problem.partition(", got ")[0]
    return _lowered(first) if first.startswith("Expected") else f"expected `{hints.name(hint)}`"


def _fault_of(error: Exception) -> str:
    text = str(error) if isinstance(error, msgspec.MsgspecError) else show_error(error)
    return _lowered(text).replace("`$.", "`").replace(" - at", " at")


def _lowered(text: str) -> str:
    """Lowers the first word, unless it is a name such as JSON or KeyError."""
    first, *_ = text.split(maxsplit=1) or [""]
    return text[:1].lower() + text[1:] if first.istitle() and first.isalpha() else text


def _because(flaw: Flaw, hint: Any) -> str:
    if not flaw.annotate:
        return ""
    if hint is Any:
        return ", for no type hint says what it is"
    return f", for the hint is `{hints.name(hint)}`"


def _advice(flaw: Flaw, verb: str, subject: str, annotation: str) -> str:
    if not flaw.annotate:
        return f"{verb.capitalize()} {flaw.instead}."
    if flaw.path or flaw.annotate.endswith("…]"):
        return f"Annotate {subject} so that this is a `{flaw.annotate}`, or {verb} {flaw.instead}."
    return f"Annotate {subject} with {annotation}, or {verb} {flaw.instead}."
