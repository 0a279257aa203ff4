"""The worker's loop: takes its turns, stops as told, loses nothing to a death or a lost store."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apps.workshop import (
    FOLDER,
    add,
    die,
    ended,
    fail,
    fork_and_hold,
    hold,
    mark,
    opened,
    steps,
    stubborn,
    tarry,
    tasks,
)

from flask_backburner import Job
from flask_backburner.engine.local.engine import ThreadsWorker
from flask_backburner.engine.local.wakeup import runtime_folder
from flask_backburner.engine.local.worker import Worker
from flask_backburner.installation import Installation
from flask_backburner.record import Succeeded
from flask_backburner.signals import (
    job_cancelled,
    job_failed,
    job_progressed,
    job_queued,
    job_started,
    job_succeeded,
)
from flask_backburner.store.claim import Settlement
from support import processes
from support.journal import Journal
from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

SIGNALS = {
    "queued": job_queued,
    "started": job_started,
    "progressed": job_progressed,
    "succeeded": job_succeeded,
    "failed": job_failed,
    "cancelled": job_cancelled,
}
ONE_SECOND = 60.0  # what takes a second gets a minute before a test fails


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    (tmp_path / "real").mkdir()
    (tmp_path / "shop").symlink_to("real")
    monkeypatch.setenv(FOLDER, str(tmp_path / "shop"))
    with opened() as installation:
        yield installation


@pytest.fixture
def at_work(shop: Installation) -> Iterator[ThreadsWorker]:
    """A worker in threads of this process."""
    threads = ThreadsWorker(shop)
    threads.start()
    yield threads
    threads.stop(0.0)


@pytest.fixture
def start_worker(shop: Installation, serve: Servers, tmp_path: Path) -> Callable[..., Served]:
    """``flask jobs worker`` in a process of its own."""

    def start(*args: str) -> Served:
        return serve.worker(tmp_path, "apps.workshop:app", *args)

    return start


# Runs


def test_progress_is_seen_while_the_job_goes_on(at_work: ThreadsWorker, latch: Latch) -> None:
    job, seen = steps.delay(3), []
    for step in (1, 2, 3):
        latch.arrived(step)
        until(lambda step=step: job.refresh().progress.current == step, ONE_SECOND)
        seen.append((job.progress.current, job.progress.fraction, job.progress.message))
        latch.step()
    assert seen == [(1, 1 / 3, "Step 1"), (2, 2 / 3, "Step 2"), (3, 1.0, "Step 3")]
    assert ended(job).result == 3


def test_a_cancelled_job_never_starts(shop: Installation, journal: Journal) -> None:
    cancelled, other = mark.delay(), mark.delay()
    cancelled.cancel()
    threads = ThreadsWorker(shop)
    threads.start()
    ended(other)
    threads.stop(0.0)
    assert cancelled.refresh().state == "cancelled"
    assert [entry.id for entry in journal.entries("mark")] == [other.id]


def test_a_cancel_reaches_a_running_job_past_its_handlers(
    at_work: ThreadsWorker, latch: Latch
) -> None:
    job = stubborn.delay()
    latch.arrived(1)
    asked = job.cancel()
    assert (asked.state, asked.record.cancel_requested) == ("running", True)
    latch.open()
    assert ended(job).state == "cancelled"


def test_a_job_that_ends_before_it_hears_of_a_cancel_has_succeeded(
    at_work: ThreadsWorker, latch: Latch, journal: Journal
) -> None:
    job = hold.delay()
    latch.arrived(1)
    job.cancel()
    latch.open()
    assert ended(job).state == "succeeded"


def test_higher_priority_runs_first_and_among_equals_the_older(
    shop: Installation, journal: Journal
) -> None:
    for priority, word in ((0, "c"), (0, "d"), (5, "a"), (-1, "e"), (1, "b")):
        mark.using(priority=priority).delay(word)
    Worker(shop, threads=1, burst=True).run()
    assert [entry.id for entry in journal.entries("word")] == ["a", "b", "c", "d", "e"]


def test_a_job_waits_for_its_time(at_work: ThreadsWorker, journal: Journal) -> None:
    at = datetime.now(UTC) + timedelta(seconds=0.3)
    much_later = mark.using(countdown=3600).delay()
    for job in (mark.using(eta=at).delay(), mark.using(countdown=0.1).delay(), mark.delay()):
        assert ended(job).started_at is not None
        assert job.started_at >= job.run_at
    assert much_later.refresh().state == "queued"
    assert much_later.id not in {entry.id for entry in journal.entries("mark")}


def test_a_worker_serves_its_queues_only(shop: Installation, journal: Journal) -> None:
    mine, other = mark.using(queue="reports").delay(), mark.delay()
    Worker(shop, queues=["reports"], burst=True).run()
    assert (mine.refresh().state, other.refresh().state) == ("succeeded", "queued")


def test_without_its_sockets_a_worker_finds_work_by_polling(
    at_work: ThreadsWorker, shop: Installation
) -> None:
    ended(add.delay(1, 1))
    for bell in Path(runtime_folder(shop.settings.path, shop.settings.name) or "").iterdir():
        bell.unlink()
    assert ended(add.delay(2, 2), ONE_SECOND).result == 4


def test_ten_thousand_small_jobs_are_drained(shop: Installation) -> None:
    shop.store.close()
    add.map([(n, 1) for n in range(10_000)])
    Worker(shop, burst=True).run()
    assert shop.store.counters() == {("default", "succeeded"): 10_000}


def test_no_job_sits_behind_a_long_one_while_another_worker_is_idle(
    shop: Installation, make_latch: Callable[[str], Latch], journal: Journal
) -> None:
    """Small jobs make the first worker claim ahead; long ones come in between."""
    long = make_latch("long")
    add.map([(n, 1) for n in range(300)])
    holds = hold.map([("long",)] * 4)
    add.map([(n, 1) for n in range(300)])
    first, second = ThreadsWorker(shop), ThreadsWorker(shop)
    first.start()
    long.arrived(4)
    second.start()
    small = ("default", "succeeded")
    until(lambda: shop.store.counters().get(small) == 600, ONE_SECOND, "the small jobs")
    assert {job.refresh().state for job in holds} == {"running"}
    assert {job.attempt for job in tasks.jobs(task=add, limit=1000)} == {1}
    long.open()
    for job in holds:
        ended(job)
    second.stop(0.0)
    first.stop(0.0)


# Signals


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str]]]:
    """What receivers heard: the signal, and the state that they saw."""
    heard: list[tuple[str, str]] = []
    receivers = []
    for name, signal_ in SIGNALS.items():

        def receive(app: Any, job: Job[Any], name: str = name) -> None:
            heard.append((name, str(job.state)))
            raise RuntimeError("receivers' errors are theirs")

        signal_.connect(receive)
        receivers.append((signal_, receive))
    yield heard
    for signal_, receive in receivers:
        signal_.disconnect(receive)


def test_signals_tell_a_jobs_story_after_the_fact(
    at_work: ThreadsWorker, latch: Latch, heard: list[tuple[str, str]]
) -> None:
    job = steps.delay(1)
    latch.arrived(1)
    until(lambda: ("progressed", "running") in heard, what=lambda: str(heard))
    latch.open()
    ended(job)
    until(lambda: ("succeeded", "succeeded") in heard, what=lambda: str(heard))
    heard.remove(("queued", "queued"))  # by who started it, while the worker was at it already
    assert heard == [
        ("started", "running"),
        ("progressed", "running"),
        ("succeeded", "succeeded"),
    ]


def test_signals_tell_of_failure_and_cancel(
    at_work: ThreadsWorker, latch: Latch, heard: list[tuple[str, str]]
) -> None:
    ended(fail.delay("error"))
    until(lambda: ("failed", "failed") in heard, what=lambda: str(heard))
    mark.using(countdown=60).delay().cancel()
    assert heard[-1] == ("cancelled", "cancelled")
    running = stubborn.delay()
    latch.arrived(1)
    running.cancel()
    latch.open()
    ended(running)
    until(lambda: heard.count(("cancelled", "cancelled")) == 2, what=lambda: str(heard))


# Stops


def test_a_worker_that_is_told_to_stop_lets_running_jobs_end(
    start_worker: Callable[..., Served], latch: Latch, journal: Journal
) -> None:
    worker = start_worker("--threads", "1")
    running = hold.delay()
    latch.arrived(1)
    worker.terminate()
    waiting = hold.delay()
    until(lambda: "No more jobs are claimed; 1 still run" in worker.output())
    latch.open()
    assert worker.wait() == 0
    assert (running.refresh().state, waiting.refresh().state) == ("succeeded", "queued")


def test_after_the_grace_the_job_is_handed_back_and_runs_again_elsewhere(
    start_worker: Callable[..., Served],
    shop: Installation,
    make_latch: Callable[[str], Latch],
    journal: Journal,
) -> None:
    long = make_latch("long")
    worker = start_worker("--grace", "0.2")
    job = hold.delay("long")
    long.arrived(1)
    worker.terminate()
    assert worker.wait() == 1
    assert "Handed back 1 running jobs" in worker.output()
    assert (job.refresh().state, job.record.crashes) == ("queued", 0)
    start_worker()
    long.arrived(2)
    long.open()
    ended(job)
    assert (job.attempt, job.record.crashes) == (2, 0)
    assert len(set(journal.pids(job.id))) == 2


def test_a_stale_result_is_refused(shop: Installation, request: pytest.FixtureRequest) -> None:
    job = add.delay(1, 1)
    lost = shop.store.join(1, None)
    (claim,) = shop.store.turn(lost, room=1, tasks=shop.known_tasks()).claimed
    lost.leave()
    request.getfixturevalue("at_work")
    assert ended(job).result == 2
    late = shop.store.join(1, None)
    turn = shop.store.turn(late, settled=[Settlement(claim, Succeeded(b"99"))])
    late.leave()
    assert turn.refused == (claim,)
    assert job.refresh().result == 2


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT), (signal.SIGQUIT,)]
)
def test_a_second_signal_or_quit_ends_the_worker_at_once(
    start_worker: Callable[..., Served],
    latch: Latch,
    journal: Journal,
    numbers: tuple[signal.Signals, ...],
) -> None:
    worker = start_worker("--grace", "600")
    job = hold.delay()
    latch.arrived(1)
    worker.terminate(numbers[0])
    for number in numbers[1:]:
        until(lambda: "No more jobs are claimed; 1 still run" in worker.output())
        worker.terminate(number)
    assert worker.wait(ONE_SECOND) == 1
    assert (job.refresh().state, job.record.crashes) == ("queued", 0)


def test_a_burst_ends_when_nothing_waits(
    start_worker: Callable[..., Served], journal: Journal
) -> None:
    jobs = add.map([(n, n) for n in range(20)])
    later = mark.using(countdown=600).delay()
    assert start_worker("--burst").wait() == 0
    assert {job.refresh().state for job in jobs} == {"succeeded"}
    assert later.refresh().state == "queued"


def _lead(folder: Path, to: str) -> None:
    """Let the folder be another one, at once."""
    link = folder.with_name("link")
    link.symlink_to(to)
    link.rename(folder)


def _taken_away(folder: Path) -> None:
    """Nothing can be opened or made where the folder was."""
    _lead(folder, "/dev/null")


def _brought_back(folder: Path) -> None:
    _lead(folder, "real")


def test_a_lost_store_is_waited_for_and_nothing_is_lost(
    at_work: ThreadsWorker,
    shop: Installation,
    latch: Latch,
    journal: Journal,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = Path(os.environ[FOLDER])
    running, waiting = hold.delay(), mark.using(countdown=0.2).delay()
    latch.arrived(1)
    _taken_away(folder)
    until(lambda: "The worker waits for its store" in caplog.text, ONE_SECOND)
    latch.open()
    until(lambda: journal.ended() == {running.id})
    _brought_back(folder)
    assert (ended(running).state, running.attempt, running.record.crashes) == ("succeeded", 1, 0)
    assert (ended(waiting).state, waiting.attempt) == ("succeeded", 1)
    assert caplog.text.count("The worker waits for its store") < 4


def test_a_job_is_told_that_its_time_is_up_while_the_store_is_away(
    at_work: ThreadsWorker, journal: Journal
) -> None:
    folder = Path(os.environ[FOLDER])
    job = tarry.delay()
    until(lambda: journal.started() == {job.id})
    _taken_away(folder)
    until(lambda: journal.ended() == {job.id}, 30.0)
    _brought_back(folder)
    fault = ended(job).error
    assert fault is not None
    assert fault.code == "timeout"


def test_a_worker_goes_on_with_a_new_file_when_its_own_was_deleted(
    at_work: ThreadsWorker, shop: Installation
) -> None:
    ended(add.delay(1, 1))
    for path in Path(os.environ[FOLDER]).glob("backburner.db*"):
        if path.is_file():
            path.unlink()
    assert ended(add.delay(2, 2)).result == 4


def test_a_stopping_worker_waits_for_a_lost_store_to_record_what_ended(
    shop: Installation, latch: Latch, journal: Journal
) -> None:
    threads = ThreadsWorker(shop)
    threads.start()
    job = hold.delay()
    latch.arrived(1)
    folder = Path(os.environ[FOLDER])
    _taken_away(folder)
    latch.open()
    until(lambda: journal.ended() == {job.id})
    stopping = threading.Thread(target=threads.stop, args=(20.0,))
    stopping.start()
    _brought_back(folder)
    stopping.join()
    assert (job.refresh().state, job.attempt) == ("succeeded", 1)


# Deaths


def test_a_killed_workers_job_is_taken_up_by_another_within_a_second(
    start_worker: Callable[..., Served],
    make_latch: Callable[[str], Latch],
    journal: Journal,
) -> None:
    held, late = make_latch("held"), make_latch("late")
    first = start_worker("--threads", "1")
    job = hold.delay("held")
    held.arrived(1)
    start_worker("--threads", "1")
    other = hold.delay("late")
    late.arrived(1)
    first.kill9()
    late.open()  # the other one has its hands free
    held.arrived(2, ONE_SECOND)
    held.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 1)
    assert [entry.event for entry in journal.entries() if entry.id == job.id] == [
        "start",
        "start",
        "end",
    ]
    assert (ended(other).attempt, other.record.crashes) == (1, 0)


def test_while_a_worker_waits_for_its_last_job_others_do_the_rescuing(
    start_worker: Callable[..., Served], make_latch: Callable[[str], Latch], journal: Journal
) -> None:
    slow, held = make_latch("slow"), make_latch("held")
    stopping = start_worker("--grace", "600")
    last = hold.delay("slow")
    slow.arrived(1)
    stopping.terminate()
    until(lambda: "No more jobs are claimed; 1 still run" in stopping.output())
    job = hold.delay("held")
    victim = start_worker()
    held.arrived(1)
    victim.kill9()
    start_worker()
    held.arrived(2, ONE_SECOND)
    held.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 1)
    slow.open()
    assert stopping.wait() == 0
    assert ended(last).attempt == 1


def test_four_deaths_and_the_job_is_lost_the_last_two_of_which_harm_nobody(
    start_worker: Callable[..., Served], shop: Installation, journal: Journal
) -> None:
    job = die.delay(times=9)
    for _ in range(2):
        assert start_worker("--threads", "1").wait() == 9
    worker = start_worker("--threads", "1")
    fault = ended(job).error
    assert processes.alive(worker.pid)
    assert fault is not None
    assert (fault.code, job.record.crashes, journal.starts(job.id)) == ("lost", 4, 4)


def test_jobs_claimed_ahead_are_not_blamed_for_a_death(
    shop: Installation, start_worker: Callable[..., Served], journal: Journal
) -> None:
    """Those behind the poison, as those before it may have run without being recorded."""
    add.map([(n, 0) for n in range(200)])
    poison = die.delay(times=1)
    innocents = add.map([(n, 0) for n in range(200)])
    assert start_worker("--threads", "1").wait() == 9
    start_worker("--threads", "1")
    assert ended(poison).result == "survived"
    for job in innocents:
        ended(job)
        assert (job.attempt, job.record.crashes) == (1, 0)


def test_a_forked_child_of_a_job_does_not_keep_its_dead_worker_alive(
    start_worker: Callable[..., Served],
    make_latch: Callable[[str], Latch],
    journal: Journal,
) -> None:
    grandchild, held = make_latch("grandchild"), make_latch("held")
    worker = start_worker()
    forked = ended(fork_and_hold.delay()).result
    job = hold.delay("held")
    held.arrived(1)
    worker.kill9()
    assert processes.alive(forked)
    start_worker()
    held.arrived(2, ONE_SECOND)
    held.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 1)
    grandchild.open()
