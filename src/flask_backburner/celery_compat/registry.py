"""Tasks by name, and functions that are to become tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..submission import module_name
from .definition import check_function, name_in
from .exceptions import NotRegistered, NotSupported
from .task import Task

Pending = tuple[Callable[..., Any], dict[str, Any]]
"""A function to become a task, and its options."""

shared: dict[str, Pending] = {}
"""What ``shared_task`` has defined, for every Celery object."""


class Tasks(dict[str, Task]):
    """The tasks of a Celery object by name."""

    def __missing__(self, name: str) -> Task:
        raise NotRegistered(name)


def pending_task(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    generate: Callable[[str, str], str] = name_in,
) -> tuple[str, Pending]:
    """The name and the options of a task to be; ``generate`` makes one of name and module.

    Raises ``DefinitionError`` and ``NotSupported``.
    """
    check_function(function)
    own = dict(options)
    if own.pop("pydantic", False):
        raise NotSupported(
            "task(pydantic=True)", "arguments are read by their type hints: use a dataclass."
        )
    serializer = own.get("serializer")
    if serializer not in (None, "json"):
        raise NotSupported(f"task(serializer={serializer!r})", "arguments and results are JSON.")
    if isinstance(own.get("autoretry_for"), type):
        own["autoretry_for"] = (own["autoretry_for"],)
    for name in ("shared", "lazy", "typing"):
        own.pop(name, None)
    name = own.pop("name", None) or generate(function.__name__, module_name(function))
    return name, (function, own)
