"""track(resume=True): what is done is not done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_backburner import current_job
from flask_backburner.running import Bound
from support.bench import Bench, attempt, bench_in

done: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


def do(item: Any) -> None:
    done.append(item)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_in(tmp_path) as bench:
        yield bench


def numbers() -> Iterator[int]:
    yield from range(10)


@pytest.mark.parametrize("items", [range(10), numbers], ids=["sized", "generated"])
def test_items_that_are_done_are_not_done_again(bench: Bench, items: Any) -> None:
    def work() -> int:
        whole = items() if callable(items) else items
        for item in current_job.track(whole, total=10, resume=True):
            do(item)
        return current_job.attempt

    bench.task(work).delay()
    crashed = bench.crash("progress", calls=4)
    assert done == [0, 1, 2]
    assert crashed.progress.current == 3
    bench.run()
    bench.clock.advance(1)
    again = bench.crash("progress", calls=3)
    assert done == [0, 1, 2, 3, 4]
    assert (again.attempt, again.progress.current, again.progress.total) == (2, 5, 10)
    job = bench.go_on()
    assert (job.result, job.progress.current, job.progress.fraction) == (3, 10, 1.0)
    assert done == list(range(10))


def test_an_item_in_whose_middle_the_worker_dies_is_done_again(bench: Bench) -> None:
    def work() -> None:
        for item in current_job.track("abc", resume=True):
            do(item)
            current_job.check_cancelled()

    bench.task(work).delay()
    bench.crash("progress", calls=4)
    assert done == ["a", "b"]
    bench.go_on()
    assert done == ["a", "b", "b", "c"]


def test_each_track_of_a_task_goes_on_by_itself(bench: Bench) -> None:
    def work() -> None:
        for item in current_job.track("ab", resume=True):
            do(item)
        for number in current_job.track([1, 2, 3], resume=True):
            do(number)

    bench.task(work).delay()
    bench.crash("progress", calls=5)
    assert done == ["a", "b", 1]
    bench.go_on()
    assert done == ["a", "b", 1, 2, 3]


def test_a_track_that_ends_early_goes_on_from_there(bench: Bench) -> None:
    def work() -> None:
        for item in current_job.track("abcd", resume=True):
            do(item)
            if current_job.attempt == 1 and item == "b":
                raise ValueError

    job = bench.task(work, retries=1, backoff=0).delay()
    bench.run()
    assert job.refresh().state == "succeeded"
    assert done == ["a", "b", "b", "c", "d"]


def test_an_item_is_known_to_be_done_before_the_next_begins(tmp_path: Path) -> None:
    job, reports = attempt(tmp_path, [True, True])

    def work() -> None:
        for item in current_job.track("ab", resume=True):
            do((item, len(reports)))

    with Bound(job):
        work()
    assert done == [("a", 0), ("b", 1)]
    assert [report.saved for report in reports] == [(("track:1", b"1"),), (("track:1", b"2"),)]


def test_items_passed_over_cost_no_write(tmp_path: Path) -> None:
    job, reports = attempt(tmp_path, [])
    job.saved["track:1"] = b"3"
    with Bound(job):
        assert list(current_job.track("abc", resume=True)) == []
    assert reports == []
    assert (job.current, job.total) == (3, 3)
