"""Backoff: how long a job waits before it is tried again."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from flask_backburner import Backoff
from flask_backburner.backoff import read_backoff


def test_the_wait_grows_up_to_a_bound() -> None:
    backoff = Backoff(base=2, factor=3, most=50, jitter=False)
    assert [backoff.delay(n) for n in range(1, 6)] == [2, 6, 18, 50, 50]
    assert backoff.delay(1_000_000) == 50
    assert Backoff(jitter=False).delay(1_000_000) == 3600


def test_with_jitter_the_wait_is_anything_up_to_that() -> None:
    waits = [Backoff(base=8, most=20).delay(2) for _ in range(1000)]
    assert 0 <= min(waits) < 4
    assert 12 < max(waits) <= 16
    assert max(Backoff(base=8, most=20).delay(3) for _ in range(1000)) <= 20


def test_a_wait_is_a_number_a_timedelta_or_one_for_each_failure() -> None:
    def waits(value: Any) -> list[float]:
        return [read_backoff(value).delay(n) for n in (1, 2, 3)]

    assert waits(4) == [4, 4, 4]
    assert waits(timedelta(minutes=1)) == [60, 60, 60]
    assert waits([0, timedelta(seconds=5)]) == [0, 5, 5]
    assert waits(Backoff(jitter=False)) == [1, 2, 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base": -1}, "base is -1, but must be a number from 0 on."),
        ({"base": timedelta(1)}, "base is datetime.timedelta(days=1), but must be a number from"),
        ({"factor": 0.5}, "factor is 0.5, but must be a number from 1 on."),
        ({"most": float("nan")}, "most is nan, but must be a number from 0 on."),
        ({"most": True}, "most is True, but must be a number from 0 on."),
        ({"jitter": 1}, "jitter is 1, but must be True or False."),
    ],
    ids=repr,
)
def test_a_backoff_that_makes_no_sense_is_refused(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        Backoff(**options)
