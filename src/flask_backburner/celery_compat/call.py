"""Call: what ``apply_async`` is given beside the arguments."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ..options import StartOptions
from .configuration import Conf
from .exceptions import NotSupported
from .refused import CANVAS

logger = logging.getLogger("flask_backburner")

NO_BROKER = "there is no broker that would route it. Use queue=."
ON_TASK = "it is an option of the task: give it to @celery.task()."

REFUSED: Mapping[str, str] = {
    "chain": CANVAS,
    "chord": CANVAS,
    "exchange": NO_BROKER,
    "group_id": CANVAS,
    "link": CANVAS,
    "link_error": CANVAS,
    "reply_to": NO_BROKER,
    "routing_key": NO_BROKER,
    "soft_time_limit": ON_TASK,
    "time_limit": ON_TASK,
}

WITHOUT_EFFECT = frozenset(
    {
        "add_to_parent",
        "argsrepr",
        "compression",
        "connection",
        "delivery_mode",
        "kwargsrepr",
        "producer",
        "publisher",
        "retry",
        "retry_policy",
        "shadow",
    }
)
"""What concerns only the message to a broker, or how it is shown."""

_said: set[str] = set()


class Call(Struct, frozen=True):
    """How a task is started: our options, the caller's own id, and what travels along."""

    start: StartOptions
    task_id: str | None = None
    wishes: dict[str, Any] = {}


def read_call(options: Mapping[str, Any], usual: StartOptions, conf: Conf) -> Call:
    """What is meant; ``usual`` is what the task says. Raises ``NotSupported``."""
    given = {name: value for name, value in options.items() if value is not None}
    _check(given)
    id = given.get("task_id")
    if id is not None and not (isinstance(id, str) and id):
        raise ValueError(f"task_id is {id!r}, but must be a text.")
    wishes: dict[str, Any] = {
        name: given[name] for name in ("headers", "ignore_result") if name in given
    }
    if id is not None:
        wishes["id"] = id
    return Call(_start(given, usual, conf), id, wishes)


def _start(given: Mapping[str, Any], usual: StartOptions, conf: Conf) -> StartOptions:
    chosen = {name: given[name] for name in ("queue", "priority") if name in given}
    if "countdown" in given:
        chosen["countdown"] = max(0, given["countdown"])
    elif "eta" in given:
        chosen["eta"] = _aware(given["eta"], conf)
    if "expires" in given:
        chosen["expires"] = _aware(given["expires"], conf)
    return replace(usual, alias=given.get("task_id"), **chosen)


def _aware(value: Any, conf: Conf) -> Any:
    """A time that says no zone is one of the configured zone, as for Celery."""
    if isinstance(value, datetime) and value.utcoffset() is None:
        return value.replace(tzinfo=conf.zone)
    return value


def _check(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name in REFUSED:
            raise NotSupported(f"apply_async({name}=…)", REFUSED[name])
        if name == "serializer" and value != "json":
            raise NotSupported(
                f"apply_async(serializer={value!r})", "arguments and results are JSON."
            )
        if name in WITHOUT_EFFECT and name not in _said:
            _said.add(name)
            logger.warning("apply_async(%s=…) has no effect here: there is no broker", name)
        elif name not in KNOWN:
            raise NotSupported(f"apply_async({name}=…)", "it is not known here. Leave it out.")


KNOWN = WITHOUT_EFFECT | {
    "countdown",
    "eta",
    "expires",
    "headers",
    "ignore_result",
    "priority",
    "queue",
    "serializer",
    "task_id",
}
