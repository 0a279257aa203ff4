"""The event loop as a pool: many jobs at a time, told where they wait, and none holds up all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from flask_backburner.context import current_job
from flask_backburner.engine.local.loop import BLOCKED_SECONDS, LoopPool
from flask_backburner.engine.local.pool import Means
from flask_backburner.errors import JobCancelled, JobReleased
from flask_backburner.files import FileFolder
from flask_backburner.record import Cancelled, Outcome, Released, Succeeded
from flask_backburner.running import Bound, RunningJob
from flask_backburner.store.claim import Claim, Settlement
from support.waiting import until

Work = Callable[[], Awaitable[object]]
OUTCOMES = {JobCancelled: Cancelled(), JobReleased: Released()}


class Round:
    """A loop whose jobs do what the test says, by their ids."""

    def __init__(self) -> None:
        self.work: dict[str, Work] = {}
        self.begun: list[str] = []
        self.heard: list[str] = []
        means = Means(
            self._begin, lambda report: True, lambda: None, lambda task: None, FileFolder("/none")
        )
        self.pool = LoopPool(means, self._run)

    def _begin(self, claim: Claim) -> bool:
        self.begun.append(claim.id)
        return True

    async def _run(self, running: RunningJob) -> Outcome:
        running.began_at = time.monotonic()
        with Bound(running):
            try:
                await self.work[running.claim.id]()
            except (asyncio.CancelledError, JobCancelled, JobReleased):
                assert running.interrupt is not None
                return OUTCOMES[running.interrupt]
        return Succeeded(b"1")

    def take(self, **work: Work) -> list[Claim]:
        self.work.update(work)
        claims = [Claim(id, 1, "task", "default", 1, b"") for id in work]
        self.pool.take(claims)
        return claims

    def settled(self, jobs: int) -> dict[str, Outcome]:
        found: list[Settlement] = []
        until(lambda: found.extend(self.pool.settled()[0]) or len(found) >= jobs, 30.0)
        return {entry.claim.id: entry.outcome for entry in found}

    def find_blocked(self) -> None:
        """Ask whether the loop goes round, and again when the answer is overdue."""
        now = time.monotonic()
        self.pool.enforce(now)
        self.pool.enforce(now + 2 * BLOCKED_SECONDS)


@pytest.fixture
def round_() -> Iterator[Round]:
    round_ = Round()
    yield round_
    round_.pool.close(30.0)


async def nothing() -> None:
    """What a job does that has nothing to do."""


def test_jobs_go_back_in_line_when_the_system_refuses_a_thread(
    round_: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        round_.take(a=nothing, b=nothing)
    refused = Released(started=False)
    assert round_.settled(2) == {"a": refused, "b": refused}
    round_.take(c=nothing)
    assert round_.settled(1) == {"c": Succeeded(b"1")}
    assert round_.begun == ["c"]


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_a_thousand_jobs_wait_for_one_another(round_: Round) -> None:
    arrived: list[str] = []
    all_there = asyncio.Event()

    async def meet() -> None:
        arrived.append("one")
        if len(arrived) == 1000:
            all_there.set()
        await all_there.wait()

    round_.take(**{f"job{number}": meet for number in range(1000)})
    assert (round_.pool.room, round_.pool.vacant) == (0, False)
    assert set(round_.settled(1000).values()) == {Succeeded(b"1")}
    assert round_.pool.room == 1000


def test_a_job_hears_of_its_cancel_where_it_waits(round_: Round) -> None:
    async def passing() -> None:
        while "go" not in round_.heard:
            await asyncio.sleep(0)

    round_.take(stays=for_ever, goes=passing)
    until(lambda: len(round_.begun) == 2)
    round_.pool.interrupt(["stays"], JobCancelled)
    assert round_.settled(1) == {"stays": Cancelled()}
    round_.heard.append("go")
    assert round_.settled(1) == {"goes": Succeeded(b"1")}


def test_a_job_that_hears_of_its_cancel_by_itself_may_await_in_its_clean_up(round_: Round) -> None:
    async def busy() -> None:
        try:
            while True:
                await asyncio.sleep(0)
                current_job.progress(1)
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            round_.heard.append("clean")

    round_.take(**{f"job{number}": busy for number in range(30)})
    until(lambda: len(round_.begun) == 30)
    round_.pool.interrupt([f"job{number}" for number in range(30)], JobCancelled)
    assert set(round_.settled(30).values()) == {Cancelled()}
    assert round_.heard == ["clean"] * 30


def test_a_job_cancelled_before_its_first_step_never_begins(round_: Round) -> None:
    let_go = threading.Event()

    async def block() -> None:
        let_go.wait(30)

    round_.take(blocks=block)
    until(lambda: round_.begun == ["blocks"])
    round_.take(late=for_ever)
    round_.pool.interrupt(["late"], JobCancelled)
    let_go.set()
    assert round_.settled(2) == {"blocks": Succeeded(b"1"), "late": Cancelled()}
    assert round_.begun == ["blocks"]


def test_what_a_job_leaves_running_ends_with_it(round_: Round) -> None:
    async def forgetful() -> None:
        async def forgotten() -> None:
            try:
                await for_ever()
            finally:
                await asyncio.sleep(0)
                round_.heard.append("forgotten has ended")

        round_.heard.append("begun")
        task = asyncio.create_task(forgotten())
        await asyncio.sleep(0)
        assert not task.done()

    round_.take(forgets=forgetful)
    assert round_.settled(1) == {"forgets": Succeeded(b"1")}
    assert round_.heard == ["begun", "forgotten has ended"]


def test_the_loop_outlives_what_a_jobs_own_task_raises(
    round_: Round, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def careless() -> None:
        task = asyncio.create_task(leave())
        await asyncio.wait([task])
        assert isinstance(task.exception(), SystemExit)

    async def fine() -> None:
        await asyncio.sleep(0)

    round_.take(careless=careless)
    assert round_.settled(1) == {"careless": Succeeded(b"1")}
    round_.take(fine=fine)
    assert round_.settled(1) == {"fine": Succeeded(b"1")}
    assert "A task on the loop of async jobs raised SystemExit" in caplog.text


def test_a_job_that_blocks_the_loop_is_named_and_those_behind_it_are_handed_back(
    round_: Round, caplog: pytest.LogCaptureFixture
) -> None:
    let_go = threading.Event()

    async def block() -> None:
        let_go.wait(30)

    round_.take(blocks=block)
    until(lambda: round_.begun == ["blocks"])
    (behind,) = round_.take(behind=for_ever)
    round_.find_blocked()
    assert "Job blocks blocks the loop of async jobs, so all others wait for it." in caplog.text
    assert round_.pool.room == 0
    assert round_.pool.settled()[0] == [Settlement(behind, Released(started=False))]
    let_go.set()
    assert round_.settled(1) == {"blocks": Succeeded(b"1")}
    until(lambda: round_.pool.room == 1000)
    assert round_.begun == ["blocks"]


def test_a_job_that_blocks_the_loop_hears_of_its_cancel_at_its_next_progress_call(
    round_: Round,
) -> None:
    async def block() -> None:
        until(lambda: current_job.progress(1), 30.0)

    round_.take(blocks=block)
    until(lambda: round_.begun == ["blocks"])
    round_.pool.interrupt(["blocks"], JobCancelled)
    round_.find_blocked()
    assert round_.settled(1) == {"blocks": Cancelled()}


def test_jobs_given_up_stop_and_nothing_more_is_heard_of_them(round_: Round) -> None:
    async def tidy() -> None:
        try:
            await for_ever()
        finally:
            round_.heard.append("stopped")

    (claim,) = round_.take(tidy=tidy)
    until(lambda: round_.begun == ["tidy"])
    assert round_.pool.hand_back_running() == [Settlement(claim, Released())]
    until(lambda: round_.heard == ["stopped"])
    round_.pool.close(30.0)
    assert round_.pool.settled() == ([], [])


def test_closing_waits_no_longer_than_its_patience_for_a_blocked_loop() -> None:
    round_, let_go = Round(), threading.Event()

    async def block() -> None:
        let_go.wait(60)

    round_.take(blocks=block)
    until(lambda: round_.begun == ["blocks"])
    closing = threading.Thread(target=round_.pool.close, args=(0.1,))
    closing.start()
    closing.join(30.0)
    assert not closing.is_alive()
    let_go.set()
    round_.pool.close(30.0)
