"""Refused: stands for what Celery has and this has not."""

from __future__ import annotations

from typing import Any, NoReturn

from .exceptions import NotSupported

CANVAS = (
    "tasks that follow each other or belong together are not here yet. Start the next task with "
    "delay() at the end of the one before it, or loop over delay() to start many."
)
PERIODIC = (
    "periodic tasks are not here yet. Until then let the system's own cron run a command that "
    "calls delay()."
)


class Refused:
    """A name of Celery's that can be imported: using it raises ``NotSupported`` with the reason."""

    def __init__(self, name: str, reason: str) -> None:
        self._name = name
        self._reason = reason

    def __repr__(self) -> str:
        return f"<{self._name}, not supported>"

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupported(f"{self._name}()", self._reason)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        raise NotSupported(f"{self._name} to derive from", self._reason)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{self!r} has no {name}")
        raise NotSupported(f"{self._name}.{name}", self._reason)
