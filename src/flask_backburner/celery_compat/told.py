"""Told: what a task says of its own state, as it travels in the job's reports."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import msgspec
from msgspec import Struct

from ..codec import Limits
from ..codec.likeness import difference
from ..codec.obstacle import survey
from ..codec.shown import show
from ..errors import ArgumentError, JobError
from ..running import CUSTOM_STATE, RUNNING


class StoredError(Struct, frozen=True):
    """An exception that ended an attempt: its class by name, and what it was made of."""

    module: str
    type: str
    args: list[Any]


class Told(Struct, frozen=True, omit_defaults=True):
    """A state and its meta, and after how many failures it was said.

    The ``error`` is what ended the attempt; until that is recorded the state stands. One that is
    ``last`` stands also when the job is over.
    """

    state: str = ""
    meta: Any = None
    error: StoredError | None = None
    failures: int = 0
    last: bool = False


def tell(told: Told) -> None:
    """Say it with the running job's next report; without a job nobody hears it."""
    running = RUNNING.get(None)
    if running is not None:
        running.custom_state = msgspec.json.encode(told)


def heard(saved: dict[str, bytes]) -> Told | None:
    """What was said last, of what a job has kept."""
    data = saved.get(CUSTOM_STATE)
    return None if data is None else msgspec.json.decode(data, type=Told)


def checked_meta(meta: Any, task: str, limits: Limits) -> Any:
    """The meta, if it would be read as it is. Raises ``ArgumentError``."""
    flaw = survey(meta, limits.nesting, limits.result_bytes)
    flaw = flaw or difference(meta, msgspec.json.decode(msgspec.json.encode(meta)))
    if flaw is None:
        return meta
    raise ArgumentError(
        task,
        "meta",
        f"update_state() of task {task!r} cannot take meta{flaw.path}={show(flaw.value)}: "
        f"{flaw.problem}. Pass {flaw.instead}.",
        expected="plain JSON",
    )


def stored_error(error: BaseException) -> StoredError:
    """The exception as it can be made again where its job is looked at."""
    kind = type(error)
    return StoredError(kind.__module__, kind.__qualname__, [_plain(each) for each in error.args])


def _plain(value: Any) -> Any:
    try:
        return value if msgspec.json.decode(msgspec.json.encode(value)) == value else str(value)
    except Exception:  # the value's own class may raise anything
        return show(value)


def made_again(stored: StoredError) -> Exception:
    """The exception; one whose class this process does not have is of a class named like it.

    So is one that is no ``Exception``: what ended a job must not end who asks for it.
    """
    kind = getattr(sys.modules.get(stored.module), stored.type, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(*stored.args)
        except Exception:  # a class of the user's may want other arguments
            return kind.__new__(kind, *stored.args)
    return _stand_in(stored)


def _stand_in(stored: StoredError) -> Exception:
    name = stored.type.rpartition(".")[2]
    kind = type(name, (Exception,), {"__module__": stored.module})
    made: Exception = kind(*stored.args)
    return made


def error_of_text(message: str, *, public: bool) -> Exception:
    """The exception that a fault's message, ``ZeroDivisionError: division by zero``, tells of."""
    if public:
        return JobError(message)
    name, colon, words = message.partition(": ")
    if not colon or not name.isidentifier():
        return Exception(message)
    return made_again(StoredError(builtins.__name__, name, [words]))


def error_of_meta(meta: Any) -> Exception:
    """The exception that the meta of a FAILURE tells of, by ``exc_type`` and ``exc_message``."""
    if not isinstance(meta, dict) or "exc_type" not in meta:
        return Exception(meta)
    message = meta.get("exc_message", "")
    args = message if isinstance(message, list) else [message]
    return made_again(
        StoredError(str(meta.get("exc_module", builtins.__name__)), str(meta["exc_type"]), args)
    )
