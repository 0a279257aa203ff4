"""current_job: what running code may touch of its own job."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from flask import current_app, g, has_request_context

from flask_backburner import Job, JobCancelled, Progress, current_job
from flask_backburner.errors import NoCurrentJob
from support.apps import Site, site_in, until_state
from support.waiting import until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def run(site: Site, function: Callable[[], Any]) -> Job[Any]:
    @site.tasks.task(name=f"task {len(site.tasks._tasks)}")
    def task() -> Any:
        return function()

    job = task.delay()
    site.work()
    return job.refresh()


def progress_after(site: Site, function: Callable[[], Any]) -> Progress:
    job = run(site, function)
    assert job.state == "succeeded", job.error
    return job.progress


@pytest.mark.parametrize(
    "use",
    [
        lambda: current_job.id,
        lambda: current_job.attempt,
        lambda: current_job.cancel_requested,
        lambda: current_job.check_cancelled(),
        lambda: current_job.progress(1),
        lambda: current_job.track([1]),
        lambda: current_job.log("x"),
        lambda: current_job.checkpoint,
        lambda: current_job.step("x", int),
        lambda: current_job.retry(),
    ],
)
def test_outside_a_job_every_use_says_so(use: Callable[[], Any]) -> None:
    with pytest.raises(NoCurrentJob) as nobody:
        use()
    assert str(nobody.value) == (
        "No job is running here: current_job works only inside a task that a worker runs. A task "
        "called directly, like a plain function, has no job either, so its reports go nowhere; "
        "start it with .delay() instead. Neither has a thread that a task starts: run its "
        "function by contextvars.copy_context().run."
    )
    assert isinstance(nobody.value, RuntimeError)


def test_in_a_plain_call_reports_go_nowhere(site: Site) -> None:
    def work(rows: int) -> int:
        current_job.log("begun")
        current_job.progress(0, rows, "Counting")
        current_job.check_cancelled()
        assert not current_job.cancel_requested
        return sum(current_job.track(range(rows)))

    assert site.tasks.task(name="work")(work)(4) == 6
    assert site.tasks.jobs() == []


def test_an_async_task_can_be_called_plainly_too(site: Site) -> None:
    async def work(rows: int) -> int:
        return sum(current_job.track(range(rows)))

    assert asyncio.run(site.tasks.task(name="work")(work)(4)) == 6


@pytest.mark.parametrize(
    "use",
    [
        lambda: current_job.id,
        lambda: current_job.attempt,
        lambda: current_job.attach(b"", "x"),
        lambda: current_job.retry(),
    ],
)
def test_in_a_plain_call_what_only_a_job_has_is_missing(site: Site, use: Callable[[], Any]) -> None:
    with pytest.raises(NoCurrentJob):
        site.tasks.task(name="work")(lambda_free(use))()


def lambda_free(use: Callable[[], Any]) -> Callable[[], Any]:
    def work() -> Any:
        return use()

    return work


def test_a_task_called_plainly_in_a_job_reports_to_that_job(site: Site) -> None:
    def inner() -> str:
        current_job.log("from within")
        return current_job.id

    task = site.tasks.task(name="inner")(inner)

    def outer() -> str:
        return task()

    job = run(site, outer)
    assert job.result == job.id
    assert [line.text for line in job.log()] == ["from within"]


def test_a_thread_that_is_given_the_tasks_context_has_its_job(site: Site) -> None:
    def work() -> None:
        thread = threading.Thread(target=copy_context().run, args=(current_job.log, "here"))
        thread.start()
        thread.join()

    assert [line.text for line in run(site, work).log()] == ["here"]


def test_a_job_knows_its_id_and_attempt(site: Site) -> None:
    job = run(site, lambda: [current_job.id, current_job.attempt, current_job.cancel_requested])
    assert job.result == [job.id, 1, False]


def test_a_job_runs_in_an_app_context_of_its_own(site: Site) -> None:
    def look() -> list[Any]:
        before = "seen" in g
        g.seen = True
        return [current_app.name, before, has_request_context()]

    assert run(site, look).result == ["shop", False, False]
    assert run(site, look).result == ["shop", False, False]


def test_what_is_left_out_stays_as_it_was(site: Site) -> None:
    def work() -> None:
        current_job.progress(1, 10, "Reading")
        current_job.progress(2)
        current_job.progress(message="Writing")

    assert progress_after(site, work) == Progress(2, 10, "Writing")


def test_a_bar_never_goes_back(site: Site) -> None:
    def work() -> None:
        current_job.progress(5, 10)
        current_job.progress(3)
        current_job.progress(4, 10)

    assert progress_after(site, work) == Progress(5, 10)


def test_another_total_counts_anew(site: Site) -> None:
    def work() -> None:
        current_job.progress(5, 10)
        current_job.progress(1, 4)

    assert progress_after(site, work) == Progress(1, 4)


def test_floats_are_numbers_too(site: Site) -> None:
    assert progress_after(site, lambda: current_job.progress(0.5, 1.5)) == Progress(0.5, 1.5)


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        (Progress(), None),
        (Progress(5), None),
        (Progress(None, 10), None),
        (Progress(5, 0), None),
        (Progress(5, -1), None),
        (Progress(0, 10), 0.0),
        (Progress(3, 10), 0.3),
        (Progress(10, 10), 1.0),
        (Progress(12, 10), 1.0),
        (Progress(-1, 10), 0.0),
    ],
)
def test_a_fraction_is_never_a_guess(progress: Progress, fraction: float | None) -> None:
    assert progress.fraction == fraction


def wrong_number(site: Site, **values: Any) -> str:
    job = run(site, lambda: current_job.progress(**values))
    assert (job.state, job.progress) == ("failed", Progress())
    assert job.error is not None
    return job.error.message


@pytest.mark.parametrize("name", ["current", "total"])
@pytest.mark.parametrize("value", ["5", True, float("nan"), float("inf"), 1 << 63, [], 10**30])
def test_what_is_no_number_is_refused(site: Site, name: str, value: Any) -> None:
    assert wrong_number(site, **{name: value}) == (
        f"TypeError: progress() got {name}={value!r}, but wants a number, such as rows "
        "or bytes done: an int or a float between -2**63 and 2**63."
    )


def test_the_largest_number_is_stored(site: Site) -> None:
    most = (1 << 63) - 1
    assert progress_after(site, lambda: current_job.progress(most, most)) == Progress(most, most)


def test_a_message_is_always_storable(site: Site) -> None:
    found = progress_after(
        site, lambda: current_job.progress(1, message="a\ud800\0" + "b" * 10_000)
    )
    assert found.message is not None
    assert found.message.startswith("a\\ud800\0bbb")
    assert found.message.endswith("b…")
    assert len(found.message.encode()) == 8192


def test_track_counts_what_is_done(site: Site) -> None:
    seen = []

    def work() -> list[str]:
        seen.extend(current_job.track("abc", message="Spelling"))
        return seen

    job = run(site, work)
    assert job.result == ["a", "b", "c"]
    assert job.progress == Progress(3, 3, "Spelling")


def test_track_without_a_length_has_no_total(site: Site) -> None:
    def work() -> None:
        list(current_job.track(iter("abc")))

    assert progress_after(site, work) == Progress(3, None)


def test_track_takes_a_total(site: Site) -> None:
    def work() -> None:
        list(current_job.track(iter("abc"), total=4))

    assert progress_after(site, work) == Progress(3, 4)


def test_each_track_counts_anew(site: Site) -> None:
    def work() -> None:
        list(current_job.track("abcde"))
        for _ in current_job.track("ab"):
            break

    assert progress_after(site, work) == Progress(0, 2)


class Endless:
    """Has a length that no store can hold."""

    def __len__(self) -> int:
        return 1 << 80

    def __iter__(self) -> Iterator[str]:
        return iter("abc")


def test_track_over_what_is_too_long_has_no_total(site: Site) -> None:
    def work() -> None:
        list(current_job.track(Endless()))

    assert progress_after(site, work) == Progress(3, None)


def test_track_over_nothing(site: Site) -> None:
    assert progress_after(site, lambda: list(current_job.track([])) and None) == Progress(0, 0)


def lines(job: Job[Any]) -> list[tuple[str, str]]:
    return [(line.level, line.text) for line in job.log()]


def test_a_line_has_a_level(site: Site) -> None:
    def work() -> None:
        current_job.log("one")
        current_job.log("two", level="warning")

    assert lines(run(site, work)) == [("info", "one"), ("warning", "two")]


def test_the_newest_thousand_lines_are_kept(site: Site) -> None:
    def work() -> None:
        for number in range(1500):
            current_job.log(str(number))

    found = run(site, work).log()
    assert len(found) == 1000
    assert [line.text for line in found] == [str(number) for number in range(500, 1500)]


def test_a_long_line_is_cut_and_any_text_can_be_stored(site: Site) -> None:
    (line,) = run(site, lambda: current_job.log("\udcff" + "ä" * 9000)).log()
    assert line.text.startswith("\\udcffää")
    assert line.text.endswith("ä…")
    assert len(line.text.encode()) <= 8192


def test_the_standard_logging_of_a_task_is_in_its_log(site: Site) -> None:
    def work() -> None:
        logging.getLogger("shop.export").warning("%d rows are empty", 3)
        current_app.logger.error("Line 7 is broken")

    assert lines(run(site, work)) == [
        ("warning", "3 rows are empty"),
        ("error", "Line 7 is broken"),
    ]


def test_what_others_log_is_not(site: Site) -> None:
    logged = threading.Event()

    def work() -> None:
        thread = threading.Thread(target=lambda: (logging.warning("other"), logged.set()))
        thread.start()
        thread.join()

    assert lines(run(site, work)) == []
    assert logged.is_set()


def test_a_cancel_arrives_at_the_next_progress(site: Site) -> None:
    seen: list[Any] = []
    reached = threading.Event()

    @site.tasks.task(name="held")
    def held() -> None:
        try:
            current_job.progress(1)
            reached.set()
            until(lambda: current_job.cancel_requested)
            seen.append("asked")
            try:
                current_job.progress(2)
            except Exception:
                seen.append("swallowed")
        except JobCancelled:
            seen.append("cleaned up")
            raise

    job = held.delay()
    with site.working():
        assert reached.wait(60)
        job.cancel()
        until_state(job, "cancelled")
    assert seen == ["asked", "cleaned up"]
    assert job.progress == Progress(1)


@pytest.mark.parametrize("way", ["track", "check"])
def test_a_cancel_arrives_in_track_and_check_too(site: Site, way: str) -> None:
    reached = threading.Event()

    def forever() -> Iterator[int]:
        while True:
            reached.set()
            yield 1

    @site.tasks.task(name="held")
    def held() -> None:
        if way == "track":
            for _ in current_job.track(forever()):
                pass
        for _ in forever():
            current_job.check_cancelled()

    job = held.delay()
    with site.working():
        assert reached.wait(60)
        job.cancel()
        until_state(job, "cancelled")


def test_a_job_that_ends_before_the_cancel_arrives_has_succeeded(site: Site) -> None:
    reached, go_on = threading.Event(), threading.Event()

    @site.tasks.task(name="held")
    def held() -> str:
        reached.set()
        go_on.wait(60)
        return "done"

    job = held.delay()
    with site.working():
        assert reached.wait(60)
        job.cancel()
        go_on.set()
        assert job.wait(60).state == "succeeded"
    assert job.result == "done"
