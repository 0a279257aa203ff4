"""Eager: a task that is run here and now, as ``apply()`` does."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from ..codec import Limits, Signature
from . import states
from .attempt import Attempt, End
from .request import Context
from .result import EagerResult
from .task import Task
from .utils import uuid


def run_here(
    signature: Signature,
    task: Task,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> EagerResult:
    """Run a task, retries at once; arguments and result go through JSON as everywhere."""
    id, limits = options.get("task_id") or uuid(), Limits()
    data = signature.dump_arguments(tuple(args), kwargs, limits)
    retries, end = options.get("retries", 0), End(states.RETRY, None)
    while end.state == states.RETRY:
        passed, named = signature.load_arguments(data)
        request = Context(str(task.name), id, passed, named, retries=retries, is_eager=True)
        end = Attempt(task, request).run()
        retries += 1
    value, trace = end.value, None
    if end.state == states.SUCCESS:
        value = signature.load_result(signature.dump_result(value, limits))
    else:
        trace = "".join(traceback.format_exception(value))
    return EagerResult(id, value, end.state, trace, str(task.name))
