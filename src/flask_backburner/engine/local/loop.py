"""LoopPool: runs ``async def`` jobs, hundreds at a time, on one event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any

from ...codec.shown import show_error
from ...errors import JobInterrupted
from ...record import Failed, Fault, Outcome, Released
from ...running import RUNNING, RunningJob, storable
from ...store.claim import Claim, Report, Settlement
from .pool import STOP_SECONDS, Means, Pool

JOBS_AT_ONCE = 1000
"""So many async jobs run on a worker's loop at a time."""

BLOCKED_SECONDS = 1.0
"""A loop that has not gone round for so long is blocked."""

RunAsync = Callable[[RunningJob], Coroutine[Any, Any, Outcome]]
AnyTask = asyncio.Task[Any]
Work = Coroutine[Any, Any, Any] | Generator[Any, None, Any]

logger = logging.getLogger("flask_backburner")


class LoopPool(Pool):
    """Runs claimed jobs as tasks of an event loop, which has a thread of its own.

    The thread is started with the first job. While a job blocks the loop, no other is taken,
    and those that have not begun are handed back.
    """

    def __init__(self, means: Means, run: RunAsync, size: int = JOBS_AT_ONCE) -> None:
        super().__init__(size, means)
        self._run = run
        self._line: deque[RunningJob] = deque()
        self._orders: dict[RunningJob, type[JobInterrupted]] = {}
        self._asked_at = 0.0
        self._blocked = False
        # These are the loop's own.
        self._tasks: dict[RunningJob, AnyTask] = {}
        self._offspring: dict[RunningJob, set[AnyTask]] = {}
        self._closing = False
        self._runner: asyncio.Runner | None = None
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def room(self) -> int:
        return 0 if self._blocked else super().room

    def take(self, claims: Iterable[Claim]) -> None:
        super().take(claims)
        if self._line:
            self._started().call_soon_threadsafe(self._begin_line)

    def _accept(self, running: RunningJob) -> None:
        self._started()
        self._line.append(running)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._runner is None:
            runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
            runner.get_loop().set_task_factory(self._make_task)
            thread = threading.Thread(
                target=self._serve, args=(runner,), name="backburner-loop", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                runner.close()
                raise
            self._runner, self._thread = runner, thread
        return self._runner.get_loop()

    def _serve(self, runner: asyncio.Runner) -> None:
        with runner:
            while not self._closing:
                try:
                    runner.get_loop().run_forever()
                except BaseException as error:  # asyncio lets SystemExit out of any task
                    logger.error("A task on the loop of async jobs raised %s", show_error(error))

    def _begin_line(self) -> None:
        with suppress(IndexError):
            while True:
                self._begin(self._line.popleft())

    def _begin(self, running: RunningJob) -> None:
        task = asyncio.get_running_loop().create_task(
            self._outcome(running), name=running.claim.id, context=Context()
        )
        self._tasks[running] = task
        task.add_done_callback(partial(self._over, running))

    async def _outcome(self, running: RunningJob) -> Outcome:
        outcome = self._not_begun(running) or await self._run(running)
        self._tasks.pop(running)  # from now on nobody cancels it
        await _ended(self._offspring.pop(running, set()))
        return self._excused(outcome)

    def _over(self, running: RunningJob, task: AnyTask) -> None:
        self._tasks.pop(running, None)
        try:
            outcome: Outcome = task.result()
        except asyncio.CancelledError:  # before its first step
            outcome = self._not_begun(running) or Released(started=False)
        except BaseException as error:  # the loop outlives whatever the app's own code does
            outcome = Failed(Fault("error", storable(show_error(error))))
        self._ended(running, outcome)
        self._means.ring()

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Work, **options: Any) -> AnyTask:
        """What a job starts ends with it."""
        task = asyncio.Task(work, loop=loop, **options)
        running = RUNNING.get(None)
        if running is not None:
            siblings = self._offspring.setdefault(running, set())
            siblings.add(task)
            task.add_done_callback(siblings.discard)
        return task

    def _tell(self, running: RunningJob, how: type[JobInterrupted]) -> None:
        self._orders[running] = how
        if self._runner is not None:
            self._runner.get_loop().call_soon_threadsafe(self._obey, running, how)

    def _obey(self, running: RunningJob, how: type[JobInterrupted]) -> None:
        # Both at once, lest the job hear of it by itself and then be cancelled in its clean-up.
        running.interrupt = how
        task = self._tasks.get(running)
        if task is not None:
            task.cancel()

    def enforce(self, now: float) -> list[Report]:
        self._feel_pulse(now)
        return super().enforce(now)

    def _feel_pulse(self, now: float) -> None:
        """Find out whether the loop goes round, while there are jobs on it."""
        if self._runner is None or not self._held:
            return
        if not self._asked_at:
            self._asked_at = now
            self._runner.get_loop().call_soon_threadsafe(self._answer)
        elif now - self._asked_at > BLOCKED_SECONDS:
            self._is_blocked(self._runner.get_loop())

    def _answer(self) -> None:
        self._asked_at, self._blocked = 0.0, False

    def _is_blocked(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._blocked:
            self._blocked = True
            task = asyncio.current_task(loop)
            logger.warning(
                "Job %s blocks the loop of async jobs, so all others wait for it. Let it await "
                "what takes long, or asyncio.to_thread(), or make it a plain function.",
                task.get_name() if task else "(none)",
            )
        for running, how in self._orders.items():
            running.interrupt = how  # for one that blocks the loop but reports its progress

    def settled(self) -> tuple[list[Settlement], list[Report]]:
        settled, reports = super().settled()
        self._orders = {job: how for job, how in self._orders.items() if job in self._held}
        if self._blocked:
            settled += self.hand_back_waiting()
        return settled, reports

    def _gone_astray(self, running: RunningJob) -> None:
        """There is room enough beside it."""

    def _came_back(self, running: RunningJob) -> None:
        """It kept nothing from others."""

    def hand_back_waiting(self) -> list[Settlement]:
        back: list[Settlement] = []
        with suppress(IndexError):
            while True:
                back.append(self._back_in_line(self._line.popleft()))
        return back

    def close(self, patience: float) -> None:
        """End the loop; a job that blocks it, or will not be cancelled, ends with the process."""
        self._closing = True
        if self._runner is not None and self._thread is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # closed already
                loop = self._runner.get_loop()
                loop.call_soon_threadsafe(loop.stop)
            self._thread.join(patience)


async def _ended(tasks: set[AnyTask]) -> None:
    """Cancel what a job has left running, and wait a while until it has stopped."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=STOP_SECONDS)
