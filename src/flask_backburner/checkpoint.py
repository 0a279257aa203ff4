"""What an attempt keeps for the next one: a mapping, the results of steps, items that are done."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

import msgspec

from .codec import Limits, Signature
from .codec import hint as hints
from .codec.likeness import difference
from .codec.obstacle import survey
from .codec.shown import show
from .errors import ResultError
from .running import RunningJob

T = TypeVar("T")

CHECKPOINT_BYTES = 64 << 10
_VALUE = "value:"
_STEP = "step:"
_TRACK = "track:"


class Checkpoint(MutableMapping[str, Any]):
    """A small mapping of plain JSON values that survives a crash.

    What is set is durable when the line is over, so each change costs about a write; change
    several keys at once with ``update``. What is read is a copy: to keep a change of it, set it
    again. Raises ``ResultError`` for what is no plain JSON and beyond 64 KiB in all.
    """

    __slots__ = ("_job",)

    def __init__(self, job: RunningJob) -> None:
        self._job = job

    def __repr__(self) -> str:
        return f"<Checkpoint {show(dict(self))}>"

    def __getitem__(self, key: str) -> Any:
        try:
            return msgspec.json.decode(self._job.saved[_VALUE + key])
        except (KeyError, TypeError):
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix(_VALUE) for key in list(self._job.saved) if _is_value(key))

    def __len__(self) -> int:
        return sum(map(_is_value, list(self._job.saved)))

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._job.keep({_VALUE + key: None})

    def clear(self) -> None:
        """Forget all keys, at once."""
        if len(self):
            self._job.keep({_VALUE + key: None for key in self})

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Set several keys, all or none, for the price of one."""
        given: dict[str, Any] = dict(other, **values)
        changes = {_name(key): _plain_json(key, value) for key, value in given.items()}
        self._check_size(changes)
        if changes:
            self._job.keep(changes)

    def _check_size(self, changes: dict[str, bytes]) -> None:
        after = {key: data for key, data in self._job.saved.items() if _is_value(key)} | changes
        size = sum(len(key.removeprefix(_VALUE).encode()) + len(after[key]) for key in after)
        if size > CHECKPOINT_BYTES:
            raise ResultError(
                f"current_job.checkpoint would take {size} bytes and at most {CHECKPOINT_BYTES} "
                "are allowed. Keep what leads to the data, such as an id or a file's name."
            )


def _is_value(key: str) -> bool:
    return key.startswith(_VALUE)


def _name(key: object) -> str:
    if not isinstance(key, str) or not _is_text(key):
        raise TypeError(f"current_job.checkpoint has texts as keys, but got {show(key)}.")
    return _VALUE + key


def _is_text(text: str) -> bool:
    """Whether it can be stored: it has no half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain_json(key: str, value: Any) -> bytes:
    flaw = survey(value, Limits().nesting, CHECKPOINT_BYTES)
    if flaw is None:
        data = msgspec.json.encode(value, enc_hook=str)  # what that makes a text is told below
        flaw = difference(value, msgspec.json.decode(data))
        if flaw is None:
            return data
    if flaw.oversized:
        problem, instead = f"it takes more than {CHECKPOINT_BYTES} bytes", "less"
    else:
        problem, instead = flaw.problem, flaw.instead
    raise ResultError(
        f"current_job.checkpoint[{show(key)}]{flaw.path} cannot be {show(flaw.value)}: {problem}. "
        f"Keep {instead}."
    )


def run_step(job: RunningJob, name: str, function: Callable[..., T], args: Any, kwargs: Any) -> T:
    """The result of a step: the one that is kept, or that of the function, which is then kept."""
    _check_step(job, name)
    signature = _result_signature(job, name, function)
    job.check()
    kept = job.saved.get(_STEP + name)
    if inspect.iscoroutinefunction(function):
        return cast(T, _awaited_step(job, name, signature, kept, function, args, kwargs))
    if kept is not None:
        return cast(T, signature.load_result(kept))
    result = function(*args, **kwargs)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(
            f"The step {name!r} got {show(function)}, which returns a coroutine. Give it the "
            "`async def` function itself, its arguments behind, and await the step."
        )
    _keep_step(job, name, signature, result)
    return result


async def _awaited_step(
    job: RunningJob,
    name: str,
    signature: Signature,
    kept: bytes | None,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
) -> Any:
    if kept is not None:
        return signature.load_result(kept)
    result = await function(*args, **kwargs)
    await asyncio.to_thread(_keep_step, job, name, signature, result)  # others may go on
    return result


def _check_step(job: RunningJob, name: object) -> None:
    if not isinstance(name, str) or not name or not _is_text(name):
        raise TypeError(f"A step's name is {show(name)}, but must be a text such as 'resize'.")
    if name in job.steps:
        raise ValueError(
            f"The step {name!r} was there before in this attempt. Give each its own name, such as "
            'f"page {number}" in a loop: by the name its result is found again.'
        )
    job.steps |= {name}


def _keep_step(job: RunningJob, name: str, signature: Signature, result: Any) -> None:
    data = signature.dump_result(result, job.limits)
    size = len(data) + sum(len(each) for key, each in job.saved.items() if key.startswith(_STEP))
    if size > job.limits.result_bytes:
        raise ResultError(
            f"The results of this job's steps, {name!r} the last, take {size} bytes together and "
            f"BACKBURNER_MAX_RESULT_BYTES allows {job.limits.result_bytes}. Write what is large "
            "to a file with current_job.attach(), or return an id that leads to it."
        )
    job.keep({_STEP + name: data})


def _result_signature(job: RunningJob, name: str, function: Callable[..., Any]) -> Signature:
    """Only for what the step returns: its arguments do not travel and may be anything."""

    def stand_in() -> None: ...

    try:
        returns = hints.signature(function).return_annotation
    except (TypeError, ValueError):  # of built-in functions nothing is known
        returns = inspect.Signature.empty
    stand_in.__dict__["__signature__"] = inspect.Signature(return_annotation=returns)
    while isinstance(function, partial):
        function = function.func
    stand_in.__dict__["__wrapped__"] = function  # in its module names in the hint have meaning
    signature = Signature(stand_in, f"{job.claim.task}, step {name}".lstrip(", "))
    signature.resolve()
    return signature


def resumed(job: RunningJob, iterable: Iterable[T]) -> Iterator[T]:
    """The items that no earlier attempt has done; each is known to be done before the next."""
    job.tracks += 1
    key = f"{_TRACK}{job.tracks}"
    done = int(job.saved.get(key, b"0"))
    job.current = done
    return _kept(job, key, iterable, done)


def _kept(job: RunningJob, key: str, iterable: Iterable[T], done: int) -> Iterator[T]:
    job.check()
    for number, item in enumerate(islice(iterable, done, None), done + 1):
        yield item
        job.current = number
        job.keep({key: str(number).encode()})
