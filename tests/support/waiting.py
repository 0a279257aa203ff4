"""The one way a test waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.01


def until(
    condition: Callable[[], T], deadline: float = 60.0, what: str | Callable[[], str] = ""
) -> T:
    """Wait until ``condition()`` is true and return what it gave.

    Fails the test after ``deadline`` seconds; ``what`` says what did not happen. This is the
    only place in the tests with a sleep: what a test waits for is always a fact, never a time.
    """
    end = time.monotonic() + deadline
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            name = what() if callable(what) else what or "the condition"
            raise AssertionError(f"waited {deadline:g} s in vain for: {name} (last: {found!r})")
        time.sleep(INTERVAL)
