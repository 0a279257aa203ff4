"""Functions run without being decorated: which may be, and how a worker finds them again."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import DefinitionError

PREFIX = "submit:"

Function = Callable[..., Any]


def submission_name(function: Function, prefixes: tuple[str, ...]) -> str:
    """The name under which a worker finds the function. Raises ``DefinitionError``."""
    if hasattr(function, "delay"):
        raise DefinitionError(
            f"{function!r} is a task already: start it with .delay() instead of submitting it."
        )
    if not inspect.isfunction(function):
        raise DefinitionError(
            f"{function!r} cannot be submitted: only a function defined with `def` or "
            "`async def` at the top of a module can."
        )
    module, name = module_name(function), function.__name__
    if name == "<lambda>" or function.__qualname__ != name:
        raise DefinitionError(
            f"{function.__qualname__} cannot be submitted: a worker can find only functions at "
            "the top of a module, no lambdas, methods or inner functions. Move it there."
        )
    _check_allowed(module, prefixes, name)
    found = getattr(sys.modules.get(function.__module__), name, None)
    if found is not function:
        raise DefinitionError(
            f"{module}:{name} is not this function but {found!r}. Submit the function under the "
            "name and in the module that define it."
        )
    return f"{PREFIX}{module}:{name}"


def find_submitted(task: str, prefixes: tuple[str, ...]) -> Function:
    """The function of such a name. Raises ``DefinitionError`` if there is none, or it may not."""
    module, _, name = task.removeprefix(PREFIX).partition(":")
    _check_allowed(module, prefixes, name)
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise DefinitionError(f"The module {module!r} cannot be imported: {error}") from error
    if not inspect.isfunction(found) or module_name(found) != module:
        raise DefinitionError(f"There is no function {name!r} defined in the module {module!r}.")
    return found


def _check_allowed(module: str, prefixes: tuple[str, ...], name: str) -> None:
    if not any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes):
        raise DefinitionError(
            f"{module}:{name} cannot be submitted: only functions of {', '.join(prefixes)} can. "
            "Make it a task with @tasks.task, or add its module to BACKBURNER_SUBMIT."
        )


def module_name(function: Function) -> str:
    """The module of a function, the same in every process; a script's is its file's."""
    module = function.__module__
    return main_name() if module == "__main__" else module


def main_name() -> str:
    """Under which name another process imports what is ``__main__`` here."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return spec.name if spec else Path(file).stem if file else "__main__"
