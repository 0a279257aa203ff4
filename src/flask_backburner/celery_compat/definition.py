"""Definition: what a task of Celery's is to a Backburner."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from ..codec import Limits, Signature
from ..errors import DefinitionError
from ..installation import Installation
from ..job import Job
from ..options import StartOptions, checked_start
from ..task import Task as OwnTask
from .attempt import CALL, IGNORED, body_of
from .task import Task

logger = logging.getLogger("flask_backburner")

_NO_RESULT = b"null"


# What is beside the arguments has a name that no parameter can have.
class _Stored(Struct, frozen=True, rename={"call": CALL}):
    """The arguments of a call together with its wishes."""

    call: dict[str, Any]
    arguments: msgspec.Raw


class CallSignature(Signature):
    """A signature whose stored arguments may have the wishes of the call with them."""

    def dump_arguments(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits
    ) -> bytes:
        own = {name: value for name, value in kwargs.items() if name != CALL}
        data = super().dump_arguments(args, own, limits)
        call = {**kwargs.get(CALL, {}), **({"positional": len(args)} if own else {})}
        return msgspec.json.encode(_Stored(call, msgspec.Raw(data))) if call else data

    def load_arguments(self, data: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not data.startswith(f'{{"{CALL}":'.encode()):
            return super().load_arguments(data)
        stored = msgspec.json.decode(data, type=_Stored)
        args, kwargs = super().load_arguments(bytes(stored.arguments))
        positional = stored.call.get("positional", len(args))
        named = dict(zip(self._call.names[positional:], args[positional:], strict=False))
        return args[:positional], {**named, **kwargs, CALL: stored.call}

    def dump_result(self, value: Any, limits: Limits) -> bytes:
        return _NO_RESULT if value is IGNORED else super().dump_result(value, limits)

    def load_result(self, data: bytes) -> Any:
        return None if data == _NO_RESULT else super().load_result(data)


class Definition(OwnTask[..., Any]):
    """A task of Celery's, as a Backburner starts and runs it."""

    signature: CallSignature

    def __init__(self, task: Task, installation: Callable[[str], Installation]) -> None:
        """Raises ``DefinitionError`` for what cannot be a task."""
        conf = task.app.conf
        soft, hard = task.soft_limit, task.hard_limit
        super().__init__(
            _function(task),
            installation,
            name=task.name,
            queue=task.queue or conf["task_default_queue"],
            priority=task.priority or 0,
            retries=task.most_retries,
            retry_on=(),  # which errors and how often is decided where the task runs
            timeout=hard if soft is None else soft,
            process=hard is not None,  # only a process can be stopped at any moment
            expires=None if isinstance(task.expires, datetime) else task.expires,
        )
        self.signature = CallSignature(self.function, self.name)
        own = task.track_started
        self.track_started = bool(conf["task_track_started"] if own is None else own)
        for option, why in _WITHOUT_EFFECT.items():
            if getattr(task, option, None) is not None:
                logger.warning("The %s of task %s has no effect here%s", option, self.name, why)

    def start(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: StartOptions
    ) -> Job[Any]:
        """Start a job of it."""
        return self._start([(args, kwargs)], checked_start(options))[0]


_WITHOUT_EFFECT = {
    "rate_limit": ": no limits are kept yet, and one would be per app, not per worker",
    "compression": "",
}


def _function(task: Task) -> Callable[..., Any]:
    """Runs the task; to a caller it looks like what the task runs."""
    perform = body_of(task)
    perform.__name__ = type(task).__name__
    perform.__doc__ = task.run.__doc__
    perform.__module__ = type(task).__module__
    perform.__signature__ = inspect.signature(task.run)  # type: ignore[attr-defined]  # PEP 362
    perform.__wrapped__ = inspect.unwrap(task.run)  # type: ignore[attr-defined]  # PEP 362
    return perform


def check_function(function: Callable[..., Any]) -> None:
    """Refuse what cannot be a task. Raises ``DefinitionError``."""
    inner = inspect.unwrap(function)
    if not inspect.isfunction(function) or not inspect.isfunction(inner):
        raise DefinitionError(
            f"{function!r} cannot be a task: only a function defined with `def` can."
        )
    if inspect.iscoroutinefunction(inner):
        raise DefinitionError(
            f"{inner.__qualname__} is an `async def` function, which Celery would not run. Use "
            "@tasks.task of Flask-Backburner, which does."
        )
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise DefinitionError(
            f"{inner.__qualname__} is a generator and cannot be a task: calling it runs nothing. "
            "Return the result, and report on the way with update_state()."
        )
    if inner.__name__ == "<lambda>":
        raise DefinitionError("A lambda cannot be a task: it has no name. Use `def`.")


def name_in(name: str, module: str) -> str:
    """``module.function``, the same in every process."""
    return f"{module}.{name}"
