"""Threads as a pool: what becomes of jobs that wait, run and are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from flask_backburner.context import current_job
from flask_backburner.engine.local.pool import Means
from flask_backburner.engine.local.threads import ThreadPool
from flask_backburner.errors import JobCancelled, JobReleased
from flask_backburner.files import FileFolder
from flask_backburner.record import Cancelled, Failed, Fault, Outcome, Released, Succeeded
from flask_backburner.running import Bound, RunningJob
from flask_backburner.store.claim import Claim, Settlement
from support.waiting import until


class Bench:
    """A pool whose jobs wait until the test lets them go."""

    def __init__(self, threads: int = 1) -> None:
        self.begun: list[str] = []
        self.called: list[str] = []
        self.refused: set[str] = set()
        self.breaking: set[str] = set()
        self.rings = 0
        self.go = threading.Event()
        means = Means(
            self._begin, lambda report: True, self._ring, lambda task: None, FileFolder("/nowhere")
        )
        self.pool = ThreadPool(threads, means, self._run)

    def _begin(self, claim: Claim) -> bool:
        self.begun.append(claim.id)
        if claim.id in self.breaking:
            raise SystemExit("the app's own code ran here")
        return claim.id not in self.refused

    def _run(self, running: RunningJob) -> Outcome:
        running.began_at = time.monotonic()
        self.called.append(running.claim.id)
        with Bound(running):
            try:
                self.go.wait(60)
                current_job.progress(1)
            except JobCancelled:
                return Cancelled()
            except JobReleased:
                return Released()
        return Succeeded(b"1")

    def _ring(self) -> None:
        self.rings += 1

    def take(self, *ids: str, fence: int = 1) -> list[Claim]:
        claims = [Claim(id, fence, "task", "default", 1, b"") for id in ids]
        self.pool.take(claims)
        return claims

    def settled(self, jobs: int) -> list[Settlement]:
        found: list[Settlement] = []
        until(lambda: found.extend(self.pool.settled()[0]) or len(found) >= jobs)
        return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.go.set()
    bench.pool.close(5.0)


def test_jobs_run_in_the_order_they_were_taken(bench: Bench) -> None:
    first, second = bench.take("a", "b")
    bench.go.set()
    assert bench.settled(2) == [
        Settlement(first, Succeeded(b"1")),
        Settlement(second, Succeeded(b"1")),
    ]
    assert (bench.begun, bench.pool.held) == (["a", "b"], 0)
    assert bench.rings > 0


def test_what_no_thread_has_begun_is_handed_back(bench: Bench) -> None:
    _, second = bench.take("a", "b")
    until(lambda: bench.begun == ["a"])
    assert bench.pool.hand_back_waiting() == [Settlement(second, Released(started=False))]
    assert (bench.pool.held, bench.pool.waiting) == (1, 0)


def test_a_job_cancelled_before_it_began_never_begins(bench: Bench) -> None:
    first, second = bench.take("a", "b")
    until(lambda: bench.begun == ["a"])
    bench.pool.interrupt(["b"], JobCancelled)
    bench.go.set()
    assert bench.settled(2) == [
        Settlement(first, Succeeded(b"1")),
        Settlement(second, Cancelled()),
    ]
    assert bench.begun == ["a"]


def test_a_job_that_is_not_held_any_more_is_not_run(bench: Bench) -> None:
    bench.refused.add("a")
    (claim,) = bench.take("a")
    assert bench.settled(1) == [Settlement(claim, Released(started=False))]


def test_a_thread_outlives_whatever_happens_around_a_job(bench: Bench) -> None:
    bench.breaking.add("a")
    bench.go.set()
    broken, fine = bench.take("a", "b")
    assert bench.settled(2) == [
        Settlement(broken, Failed(Fault("error", "SystemExit: the app's own code ran here"))),
        Settlement(fine, Succeeded(b"1")),
    ]


def test_running_jobs_are_given_up_and_nothing_more_is_heard_of_them(bench: Bench) -> None:
    (claim,) = bench.take("a")
    until(lambda: bench.called == ["a"])
    assert bench.pool.hand_back_running() == [Settlement(claim, Released())]
    assert bench.pool.held == 0


def test_the_same_job_claimed_anew_is_not_mistaken_for_the_old_attempt() -> None:
    bench = Bench(threads=2)
    (old,) = bench.take("a", fence=1)
    until(lambda: bench.begun == ["a"])
    bench.pool.interrupt(["a"], JobReleased)
    (new,) = bench.take("a", fence=3)
    until(lambda: bench.begun == ["a", "a"])
    bench.go.set()
    both = {(entry.claim.fence, type(entry.outcome)) for entry in bench.settled(2)}
    assert both == {(old.fence, Released), (new.fence, Succeeded)}
    assert bench.pool.held == 0
    bench.pool.close(5.0)


def test_closing_waits_no_longer_than_its_patience_for_all_threads_together() -> None:
    bench = Bench(threads=3)
    bench.take("a", "b", "c")
    until(lambda: len(bench.begun) == 3)
    closing = threading.Thread(target=bench.pool.close, args=(1.0,))
    closing.start()
    closing.join(60.0)
    assert not closing.is_alive()
    bench.go.set()
    bench.pool.close(5.0)
