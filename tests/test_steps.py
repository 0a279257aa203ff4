"""current_job.step: what has a result is not run again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flask_backburner import JobCancelled, current_job
from flask_backburner.record import JobFile
from flask_backburner.running import Bound
from support.apps import Site
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


@dataclass
class Point:
    x: int


def test_a_step_is_not_run_again(bench: Bench) -> None:
    def work() -> str:
        rate = current_job.step("rate", fetch, "EUR", factor=2)
        current_job.progress(1)
        return f"{rate} at attempt {current_job.attempt}"

    def fetch(currency: str, *, factor: int) -> float:
        do(currency)
        return 1.5 * factor

    bench.task(work).delay()
    # The first look is at the step's begin, the second after its result is kept
    bench.crash("progress", calls=2)
    assert bench.go_on().result == "3.0 at attempt 2"
    assert done == ["EUR"]


def test_the_result_of_a_step_is_typed_by_its_hint(bench: Bench) -> None:
    def work() -> str:
        day = current_job.step("day", first_day)
        spot = current_job.step("spot", spot_of, object())
        if current_job.attempt == 1:
            raise ValueError
        return f"{day!r} {spot!r}"

    def first_day() -> date:
        return date(2026, 1, 1)

    job = bench.task(work, retries=1, backoff=0).delay()
    bench.run()
    assert job.refresh().result == "datetime.date(2026, 1, 1) Point(x=1)"


def spot_of(anything: object) -> Point:
    do(anything)
    return Point(1)


def test_a_step_may_be_any_function(bench: Bench) -> None:
    def work() -> list[Any]:
        steps = [
            current_job.step("builtin", max, 1, 2),
            current_job.step("type", int, "3"),
            current_job.step("method", "abc".upper),
            current_job.step("partial", partial(spot_of, 1)).x,
            current_job.step("nothing", print),
        ]
        if current_job.attempt == 1:
            raise ValueError
        return steps

    job = bench.task(work, retries=1, backoff=0).delay()
    bench.run()
    assert job.refresh().result == [2, 3, "ABC", 1, None]


def test_an_async_step_is_awaited(bench: Bench) -> None:
    @bench.site.tasks.task(name="async", retries=1, backoff=0)
    async def work() -> list[str]:
        found = await asyncio.gather(
            current_job.step("a", fetch, "a"), current_job.step("b", fetch, "b")
        )
        if current_job.attempt == 1:
            raise ValueError
        return list(found)

    async def fetch(name: str) -> str:
        await asyncio.sleep(0)
        do(name)
        return name.upper()

    job = work.delay()
    bench.run()
    assert job.refresh().result == ["A", "B"]
    assert sorted(done) == ["a", "b"]


def test_a_function_that_hides_an_async_one_is_refused(bench: Bench) -> None:
    async def fetch() -> int:
        return 1

    code, message = bench.failure_of(lambda: current_job.step("one", lambda: fetch()))
    assert code == "error"
    assert message.startswith("TypeError: The step 'one' got ")
    assert "Give it the `async def` function itself" in message


def test_a_steps_name_is_used_once_in_an_attempt(bench: Bench) -> None:
    def work() -> None:
        current_job.step("one", int)
        current_job.step("one", int)

    assert bench.failure_of(work)[1].startswith(
        "ValueError: The step 'one' was there before in this attempt. Give each its own name"
    )


@pytest.mark.parametrize("name", ["", 7, "\ud800"])
def test_a_step_has_a_name(bench: Bench, name: Any) -> None:
    def work() -> None:
        current_job.step(name, int)

    assert bench.failure_of(work)[1].startswith("TypeError: A step's name is ")


def test_a_step_that_gives_what_cannot_be_kept_fails_the_job(bench: Bench) -> None:
    code, message = bench.failure_of(lambda: current_job.step("any", object))
    assert code == "bad_result"
    assert message.startswith("Task 'task 0, step any' cannot return <object object>")


def test_a_hint_that_no_result_can_have_is_refused_before_the_step_runs(bench: Bench) -> None:
    def give() -> Site:
        do("ran")
        return bench.site

    message = bench.failure_of(lambda: current_job.step("any", give))[1]
    assert "the return value" in message
    assert done == []


def test_the_results_of_steps_are_bounded_together(tmp_path: Path) -> None:
    def work() -> None:
        for number in range(3):
            current_job.step(f"step {number}", str, "x" * 400)

    with bench_in(tmp_path, BACKBURNER_MAX_RESULT_BYTES=1000) as bench:
        code, message = bench.failure_of(work)
    assert (code, message) == (
        "bad_result",
        "The results of this job's steps, 'step 2' the last, take 1206 bytes together and "
        "BACKBURNER_MAX_RESULT_BYTES allows 1000. Write what is large to a file with "
        "current_job.attach(), or return an id that leads to it.",
    )


def test_a_file_attached_in_a_step_is_there_although_the_step_is_not_run_again(
    bench: Bench,
) -> None:
    def work() -> JobFile:
        return current_job.step("file", make)

    def make() -> JobFile:
        do("made")
        return current_job.attach(b"content", "out.txt")

    bench.task(work).delay()
    bench.crash("progress", calls=2)
    job = bench.go_on()
    assert done == ["made"]
    assert [file.name for file in job.files] == ["out.txt"]
    assert job.result == job.files[0]


def test_a_cancel_arrives_before_a_step_is_begun(tmp_path: Path) -> None:
    job, reports = attempt(tmp_path, [])
    job.interrupt = JobCancelled
    with Bound(job), pytest.raises(JobCancelled):
        current_job.step("one", done.append, 1)
    assert (done, reports) == ([], [])


def test_what_was_attached_is_known_together_with_the_step(tmp_path: Path) -> None:
    job, reports = attempt(tmp_path, [True, True])
    with Bound(job):
        current_job.step("file", current_job.attach, b"content", "out.txt")
        current_job.step("next", int)
    assert [[file.name for file in report.files] for report in reports] == [["out.txt"], []]


def test_a_plain_call_awaits_its_async_steps(bench: Bench) -> None:
    @bench.site.tasks.task(name="async")
    async def work() -> str:
        return await current_job.step("one", shout, "a")

    async def shout(name: str) -> str:
        return name.upper()

    assert asyncio.run(work()) == "A"
