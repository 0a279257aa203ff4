"""What a job keeps for its next attempt: a checkpoint, results of steps, items that are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flask_backburner import current_job
from flask_backburner.errors import JobCancelled, JobReleased, ResultError
from flask_backburner.files import FileFolder
from flask_backburner.running import Bound, RunningJob
from flask_backburner.store.claim import Claim, Report
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


def test_the_next_attempt_goes_on_where_the_last_one_was(bench: Bench) -> None:
    def work() -> int:
        start = current_job.checkpoint.get("page", 0)
        for page in range(start, 5):
            do(page)
            current_job.checkpoint["page"] = page + 1
        return start

    bench.task(work).delay()
    bench.crash("progress", calls=3)
    assert done == [0, 1, 2]
    assert bench.go_on().result == 3
    assert done == [0, 1, 2, 3, 4]


def test_a_retry_finds_the_checkpoint_too(bench: Bench) -> None:
    def work() -> int:
        current_job.checkpoint["tries"] = current_job.checkpoint.get("tries", 0) + 1
        if current_job.checkpoint["tries"] < 3:
            raise ValueError
        return current_job.checkpoint["tries"]

    job = bench.task(work, retries=5, backoff=0).delay()
    bench.run()
    assert job.refresh().result == 3


def test_so_does_a_job_that_is_put_back_in_line(bench: Bench) -> None:
    def work() -> list[str]:
        before = sorted(current_job.checkpoint)
        current_job.checkpoint["seen"] = True
        if not before:
            raise ValueError
        return before

    job = bench.task(work).delay()
    bench.run()
    job.retry()
    bench.run()
    assert job.refresh().result == ["seen"]


def test_a_checkpoint_is_a_mapping(bench: Bench) -> None:
    def work() -> dict[str, Any]:
        kept = current_job.checkpoint
        kept.update({"a": 1}, b=[2, None], c={"d": 1.5})
        del kept["a"]
        assert kept.setdefault("e", "text") == "text"
        assert kept.pop("c") == {"d": 1.5}
        assert kept.pop("c", "gone") == "gone"
        with pytest.raises(KeyError, match="'c'"):
            kept["c"]
        with pytest.raises(KeyError, match="'c'"):
            del kept["c"]
        assert "b" in kept
        assert (len(kept), list(kept), kept == {"b": [2, None], "e": "text"}) == (
            2,
            ["b", "e"],
            True,
        )
        assert repr(kept) == "<Checkpoint {'b': [2, None], 'e': 'text'}>"
        return dict(kept)

    job = bench.task(work).delay()
    bench.run()
    assert job.refresh().result == {"b": [2, None], "e": "text"}
    assert bench.store.saved(job.id) == {"value:b": b"[2,null]", "value:e": b'"text"'}


def test_what_is_cleared_is_gone(bench: Bench) -> None:
    def work() -> int:
        current_job.step("one", lambda: 1)
        current_job.checkpoint.update(a=1, b=2)
        current_job.checkpoint.clear()
        current_job.checkpoint.clear()
        return len(current_job.checkpoint)

    job = bench.task(work).delay()
    bench.run()
    assert job.refresh().result == 0
    assert bench.store.saved(job.id) == {"step:one": b"1"}


def test_what_is_read_is_a_copy(bench: Bench) -> None:
    def work() -> list[int]:
        current_job.checkpoint["list"] = [1]
        current_job.checkpoint["list"].append(2)
        return current_job.checkpoint["list"]  # type: ignore[no-any-return]

    job = bench.task(work).delay()
    bench.run()
    assert job.refresh().result == [1]


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (date(2026, 1, 1), "['k'] cannot be datetime.date(2026, 1, 1): "),
        ((1, 2), "['k'] cannot be (1, 2): "),
        ({1: 2}, "['k'] cannot be {1: 2}: "),
        ([{"deep": {1}}], "['k'][0]['deep'] cannot be {1}: "),
        (Point(1), "['k'] cannot be "),
        (float("nan"), "['k'] cannot be nan: "),
        (b"bytes", "['k'] cannot be b'bytes': "),
        (Path("x"), "['k'] cannot be PosixPath('x'): "),
        (object(), "['k'] cannot be <object object>: "),
        ("\ud800", "['k'] cannot be '\\ud800': "),
    ],
    ids=[
        "date",
        "tuple",
        "integer keys",
        "set",
        "dataclass",
        "nan",
        "bytes",
        "path",
        "any",
        "half",
    ],
)
def test_what_would_come_back_as_something_else_is_refused(
    bench: Bench, value: Any, problem: str
) -> None:
    def work() -> None:
        current_job.checkpoint["k"] = value

    code, message = bench.failure_of(work)
    assert code == "bad_result"
    assert message.startswith(f"current_job.checkpoint{problem}")


@pytest.mark.parametrize("key", [1, None, "\ud800"])
def test_keys_are_texts(bench: Bench, key: Any) -> None:
    def work() -> None:
        assert key not in current_job.checkpoint
        current_job.checkpoint[key] = 1

    assert bench.failure_of(work)[1].startswith(
        "TypeError: current_job.checkpoint has texts as keys, but got "
    )


def test_a_checkpoint_is_small(bench: Bench) -> None:
    def work() -> int:
        kept = current_job.checkpoint
        kept["a"] = "x" * 40_000
        kept["a"] = "y" * 40_000
        with pytest.raises(ResultError) as full:
            kept["b"] = "x" * 40_000
        assert str(full.value) == (
            "current_job.checkpoint would take 80006 bytes and at most 65536 are allowed. Keep "
            "what leads to the data, such as an id or a file's name."
        )
        with pytest.raises(ResultError, match="takes more than 65536 bytes"):
            kept["b"] = "x" * 70_000
        return len(kept)

    job = bench.task(work).delay()
    bench.run()
    assert job.refresh().result == 1


def test_several_keys_are_kept_all_or_none(bench: Bench) -> None:
    def work() -> int:
        with pytest.raises(ResultError):
            current_job.checkpoint.update(a=1, b=object())
        return len(current_job.checkpoint)

    job = bench.task(work).delay()
    bench.run()
    assert job.refresh().result == 0


def test_in_a_plain_call_it_all_works_and_nothing_is_kept(bench: Bench) -> None:
    def work() -> list[Any]:
        current_job.checkpoint["a"] = current_job.checkpoint.get("a", 0) + 1
        items = list(current_job.track("ab", resume=True))
        return [current_job.checkpoint["a"], items, current_job.step("one", int, "7")]

    task = bench.task(work)
    assert task() == [1, ["a", "b"], 7]
    assert task() == [1, ["a", "b"], 7]


def test_code_whose_job_is_another_workers_by_now_stops(tmp_path: Path) -> None:
    job, reports = attempt(tmp_path, [False])

    def work() -> None:
        current_job.checkpoint["a"] = 1

    with Bound(job), pytest.raises(JobReleased):
        work()
    assert (job.saved, job.interrupt) == ({}, JobReleased)
    assert [report.saved for report in reports] == [(("value:a", b"1"),)]


def test_a_cancel_arrives_once_the_change_is_kept(tmp_path: Path) -> None:
    job, reports = attempt(tmp_path, [True])
    job.interrupt = JobCancelled

    def work() -> None:
        current_job.checkpoint["a"] = 1

    with Bound(job), pytest.raises(JobCancelled):
        work()
    assert job.saved == {"value:a": b"1"}
    assert len(reports) == 1


def test_a_write_that_fails_is_an_error_of_the_job_and_keeps_nothing(tmp_path: Path) -> None:
    def broken(report: Report) -> bool:
        raise OSError("no room")

    job = RunningJob(Claim("id", 1, "task", "q", 1, b"{}"), FileFolder(str(tmp_path)), broken)
    with Bound(job), pytest.raises(OSError, match="no room"):
        current_job.checkpoint["a"] = 1
    assert job.saved == {}
