"""What is read once for many: by whom, for how long, and what is never kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_backburner.errors import JobNotFound
from flask_backburner.live.memo import Memo


@pytest.fixture
def memo() -> Memo:
    return Memo(threading.Lock())


def test_what_was_just_read_is_not_read_again(memo: Memo) -> None:
    assert [memo.read("a", 60.0, lambda: 1), memo.read("a", 60.0, lambda: 2)] == [1, 1]
    assert memo.read("b", 60.0, lambda: 3) == 3


def test_what_is_old_is_read_anew(memo: Memo) -> None:
    assert [memo.read("a", 0.0, lambda: 1), memo.read("a", 0.0, lambda: 2)] == [1, 2]


def test_nothing_is_a_value_too(memo: Memo) -> None:
    assert [memo.read("a", 60.0, lambda: None), memo.read("a", 60.0, lambda: 2)] == [None, None]


def test_an_error_is_not_kept(memo: Memo) -> None:
    def fail() -> int:
        raise JobNotFound("1")

    with pytest.raises(JobNotFound):
        memo.read("a", 60.0, fail)
    assert memo.read("a", 60.0, lambda: 1) == 1


def test_of_many_at_once_one_reads_for_all(memo: Memo) -> None:
    together = threading.Barrier(8)
    reads: list[int] = []

    def read(number: int) -> int:
        together.wait(60)
        return memo.read("a", 60.0, lambda: reads.append(number) or number)  # type: ignore[func-returns-value]

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(read, range(8)))
    assert found == set(reads)
    assert len(reads) == 1
