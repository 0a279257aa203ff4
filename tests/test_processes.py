"""Process jobs: each in a slot, a process of its own, that the worker can end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apps import quarry

from flask_backburner.engine.local import berth, keeper
from flask_backburner.engine.local.address import Address
from flask_backburner.engine.local.pool import Means
from flask_backburner.engine.local.processes import ProcessPool
from flask_backburner.errors import JobCancelled, JobReleased, JobTimedOut, StoreBusy
from flask_backburner.installation import Installation
from flask_backburner.record import (
    Cancelled,
    Crashed,
    Failed,
    JobFile,
    Outcome,
    Progress,
    Released,
    Succeeded,
)
from flask_backburner.store.claim import Claim, Report
from support import processes
from support.latch import Latch
from support.waiting import until

SECONDS = 60.0


class Site:
    """A pool of two slots, and what its worker's loop would see of it."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._before = processes.descendants(os.getpid())  # other tests' servers
        self.bell = threading.Event()
        self.begun: list[str] = []
        self.committed: list[Report] = []
        self.on_begin: Callable[[Claim], None] = lambda claim: None
        self.commit: Callable[[Report], bool] = lambda report: True
        self.outcomes: dict[str, Outcome] = {}
        self.told: dict[str, list[Report]] = {}
        self.means = Means(
            self._begin, self._committed, self.bell.set, lambda task: None, installation.files
        )
        self.pool = ProcessPool(2, self.means, installation, Address(quarry.ADDRESS, told=False))

    def family(self) -> set[int]:
        """The processes that the pool has started."""
        return processes.descendants(os.getpid()) - self._before

    def nursery(self) -> int:
        """The process that forks slots."""
        return max(self.family(), key=lambda pid: len(processes.descendants(pid)))

    def _begin(self, claim: Claim) -> bool:
        self.begun.append(claim.id)
        self.on_begin(claim)
        return True

    def _committed(self, report: Report) -> bool:
        self.committed.append(report)
        return self.commit(report)

    def claim(self, id: str, task: Any, *args: Any, **saved: bytes) -> Claim:
        arguments = task.signature.dump_arguments(args, {}, self.installation.settings.limits)
        return Claim(id, 1, task.name, "default", 1, arguments, saved=tuple(saved.items()))

    def start(self, id: str, task: Any, *args: Any) -> None:
        self.pool.take([self.claim(id, task, *args)])

    def run(self, id: str, task: Any, *args: Any) -> Outcome:
        self.start(id, task, *args)
        return self.outcome(id)

    def result(self, id: str, task: Any, *args: Any) -> Any:
        outcome = self.run(id, task, *args)
        assert isinstance(outcome, Succeeded), outcome
        return json.loads(outcome.result)

    def outcome(self, id: str) -> Outcome:
        until(lambda: id in self._looked(), SECONDS, lambda: f"the end of {id}")
        return self.outcomes[id]

    def _looked(self) -> dict[str, Outcome]:
        """What the worker's loop does, again and again."""
        self.pool.enforce(time.monotonic())
        settled, last_words = self.pool.settled()
        self.outcomes.update({each.claim.id: each.outcome for each in settled})
        for report in [*self.pool.reports(), *last_words]:
            self.told.setdefault(report.claim.id, []).append(report)
        return self.outcomes

    def until_told(self, id: str, what: Callable[[Report], bool]) -> None:
        until(lambda: self._looked() is not None and any(map(what, self.told.get(id, ()))), SECONDS)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv(quarry.FOLDER, str(tmp_path / "quarry"))
    monkeypatch.setenv(quarry.BROKEN, str(tmp_path / "broken"))
    app = quarry.create_app(BACKBURNER_WORKER="external")
    site = Site(quarry.tasks.installation(app))
    yield site
    site.pool.close(SECONDS)
    site.installation.close()


# Where they run


def test_a_process_job_gives_its_result(site: Site) -> None:
    assert site.run("a", quarry.add, 1, 2) == Succeeded(b"3")


def test_it_runs_in_a_process_and_a_session_of_its_own_with_an_app_and_without_input(
    site: Site,
) -> None:
    found = site.result("a", quarry.where)
    assert found["pid"] != os.getpid()
    assert found["group"] == found["pid"]
    assert (found["app"], found["input"], found["folder"]) == ("quarry", "", os.getcwd())


def test_one_process_runs_job_after_job(site: Site) -> None:
    assert site.result("a", quarry.pid) == site.result("b", quarry.pid)


def test_two_jobs_at_a_time_have_a_process_each(site: Site, latch: Latch) -> None:
    site.start("a", quarry.hold)
    site.start("b", quarry.hold)
    site.start("c", quarry.hold)
    latch.arrived(2, SECONDS)
    assert len(site.family()) == 5  # the nursery, two guards, two slots
    assert site.pool.waiting == 1
    assert site.pool.room == -1
    latch.open()
    assert [site.outcome(id) for id in "abc"] == [Succeeded(b'"let go"')] * 3


def test_no_process_is_started_before_there_is_a_job(site: Site) -> None:
    assert site.family() == set()


def test_a_job_goes_back_in_line_when_the_system_refuses_a_thread(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        site.start("a", quarry.add, 1, 2)
    assert site.outcome("a") == Released(started=False)
    assert "Job a (apps.quarry:add) goes back in line: can't start new thread" in caplog.text
    assert site.run("b", quarry.add, 1, 2) == Succeeded(b"3")


def test_a_process_without_a_job_ends_after_a_while(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "IDLE_SECONDS", 0.01)
    pid = site.result("a", quarry.pid)
    until(lambda: not processes.alive(pid), SECONDS)
    assert site.result("b", quarry.pid) != pid


# What comes out of them


def test_progress_log_lines_and_files_come_while_it_runs(site: Site, latch: Latch) -> None:
    site.start("a", quarry.report, 2)
    latch.arrived(1, SECONDS)
    latch.step()
    site.until_told("a", lambda report: report.progress == Progress(1, 2, "digging"))
    latch.step()
    assert site.outcome("a") == Succeeded(b'"stone.txt"')
    lines = [line.text for report in site.told["a"] for line in report.lines]
    assert lines == ["it begins", "it ends"]
    files = [file for report in site.told["a"] for file in report.files]
    assert files == [JobFile("stone.txt", "text/plain", 5)]
    assert site.installation.files.path("a", "stone.txt").read_bytes() == b"stone"


def test_what_it_keeps_is_recorded_before_it_goes_on(site: Site) -> None:
    assert site.run("a", quarry.remember, 3) == Succeeded(b"0")
    assert [report.saved for report in site.committed] == [(("value:value", b"3"),)]


def test_what_an_earlier_attempt_kept_is_there(site: Site) -> None:
    site.pool.take([site.claim("a", quarry.remember, 3, **{"value:value": b"4"})])
    assert site.outcome("a") == Succeeded(b"4")
    assert [report.saved for report in site.committed] == [(("value:value", b"7"),)]


def test_a_job_that_is_another_workers_by_now_stops_when_it_keeps_something(site: Site) -> None:
    site.commit = lambda report: False
    assert site.run("a", quarry.remember, 3) == Released()


def test_a_job_that_keeps_something_waits_for_a_store_that_is_away(site: Site) -> None:
    def busy_at_first(report: Report) -> bool:
        if len(site.committed) < 3:
            raise StoreBusy("somebody holds it")
        return True

    site.commit = busy_at_first
    assert site.run("a", quarry.remember, 3) == Succeeded(b"0")
    assert len(site.committed) == 3


def test_while_it_waits_for_the_store_it_hears_of_a_cancel(site: Site) -> None:
    def busy(report: Report) -> bool:
        raise StoreBusy("somebody holds it")

    site.commit = busy
    site.start("a", quarry.remember, 3)
    until(lambda: len(site.committed) >= 2, SECONDS)
    site.pool.interrupt(["a"], JobCancelled)
    assert site.outcome("a") == Cancelled()


def test_a_failure_comes_with_its_words_and_traceback(site: Site) -> None:
    outcome = site.run("a", quarry.fail, "no stone")
    assert isinstance(outcome, Failed)
    assert outcome.fault.message == "ValueError: no stone"
    assert "raise ValueError(words)" in (outcome.fault.traceback or "")


# How they are stopped


def test_a_cancelled_job_is_broken_off_wherever_it_is(site: Site, latch: Latch) -> None:
    site.start("a", quarry.hold)
    latch.arrived(1, SECONDS)
    site.pool.interrupt(["a"], JobCancelled)
    assert site.outcome("a") == Cancelled()


def test_a_job_out_of_time_has_failed_by_its_timeout(site: Site, latch: Latch) -> None:
    site.start("a", quarry.hold)
    latch.arrived(1, SECONDS)
    site.pool.interrupt(["a"], JobTimedOut)
    outcome = site.outcome("a")
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "timeout"


def test_a_job_that_does_not_stop_is_killed_and_is_then_what_it_was_told_to_be(
    site: Site, latch: Latch
) -> None:
    site.start("a", quarry.hold_on)
    latch.arrived(1, SECONDS)
    site.pool.interrupt(["a"], JobCancelled)
    assert site.outcome("a") == Cancelled()


def test_after_a_job_that_was_broken_off_the_process_is_another(site: Site, latch: Latch) -> None:
    pid = site.result("a", quarry.pid)
    site.start("b", quarry.hold)
    latch.arrived(1, SECONDS)
    site.pool.interrupt(["b"], JobCancelled)
    site.outcome("b")
    assert site.result("c", quarry.pid) != pid


def test_a_job_cancelled_before_its_process_is_ready_never_begins(site: Site) -> None:
    site.start("a", quarry.add, 1, 2)
    site.pool.interrupt(["a"], JobCancelled)
    outcome = site.outcome("a")
    assert outcome == (Succeeded(b"3") if "a" in site.begun else Cancelled())


def test_a_job_cancelled_just_as_it_begins_stops_without_force(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.result("warm", quarry.add, 1, 2)
    site.on_begin = lambda claim: site.pool.interrupt([claim.id], JobCancelled)
    for number in range(20):
        assert site.run(f"job {number}", quarry.wait_for_ever) == Cancelled()
    assert caplog.records == []


def test_jobs_in_line_are_handed_back_as_not_begun(site: Site, latch: Latch) -> None:
    for id in "abc":
        site.start(id, quarry.hold)
    latch.arrived(2, SECONDS)
    back = site.pool.hand_back_waiting()
    assert [(each.claim.id, each.outcome) for each in back] == [("c", Released(started=False))]
    assert site.pool.held == 2
    latch.open()


def test_running_jobs_are_handed_back_and_their_processes_end(site: Site, latch: Latch) -> None:
    site.start("a", quarry.hold)
    latch.arrived(1, SECONDS)
    back = site.pool.hand_back_running()
    assert [(each.claim.id, each.outcome) for each in back] == [("a", Released())]
    site.pool.close(SECONDS)
    assert site.family() == set()


def test_a_pool_closes_although_a_job_does_not_stop(site: Site, latch: Latch) -> None:
    site.start("a", quarry.hold_on)
    latch.arrived(1, SECONDS)
    site.pool.interrupt(["a"], JobReleased)
    site.pool.close(0.1)
    assert site.family() == set()
    site.pool.close(0.1)


# How they die


def test_a_job_that_ends_its_process_has_crashed_and_harms_no_other(
    site: Site, latch: Latch
) -> None:
    site.start("innocent", quarry.hold)
    latch.arrived(1, SECONDS)
    assert site.run("a", quarry.die) == Crashed()
    latch.open()
    assert site.outcome("innocent") == Succeeded(b'"let go"')


def test_after_a_death_the_slot_has_another_process(site: Site) -> None:
    site.run("a", quarry.die)
    assert site.run("b", quarry.add, 1, 2) == Succeeded(b"3")


def test_a_process_that_dies_without_a_job_is_no_crash_of_the_next(site: Site) -> None:
    pid = site.result("a", quarry.pid)
    processes.kill(pid, signal.SIGKILL)
    until(lambda: pid not in processes.every(), SECONDS, "the last thread's end")
    assert site.run("b", quarry.add, 1, 2) == Succeeded(b"3")


def test_slots_outlive_the_process_that_forked_them_and_another_takes_its_place(
    site: Site, latch: Latch
) -> None:
    site.start("a", quarry.hold)
    latch.arrived(1, SECONDS)
    processes.kill(site.nursery(), signal.SIGKILL)
    assert site.run("b", quarry.add, 1, 2) == Succeeded(b"3")
    latch.open()
    assert site.outcome("a") == Succeeded(b'"let go"')


def test_if_it_does_not_answer_jobs_are_handed_back_until_another_has_taken_its_place(
    site: Site, latch: Latch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(berth, "ANSWER_SECONDS", 1.0)
    site.start("a", quarry.hold)
    latch.arrived(1, SECONDS)
    stopped = site.nursery()
    processes.kill(stopped, signal.SIGSTOP)
    assert site.run("b", quarry.add, 1, 2) == Released(started=False)
    assert not processes.alive(stopped)
    assert "no process could be started: timed out" in caplog.text
    until(lambda: site.pool.room == 1, SECONDS)
    assert site.run("c", quarry.add, 1, 2) == Succeeded(b"3")
    latch.open()
    assert site.outcome("a") == Succeeded(b'"let go"')


@pytest.fixture
def small(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Slots that may have no more than 256 MiB."""
    monkeypatch.setenv("FLASK_BACKBURNER_PROCESS_MEMORY", str(256 << 20))
    return site


def test_a_job_beyond_the_memory_limit_fails_and_has_its_process_renewed(small: Site) -> None:
    pid = small.result("a", quarry.pid)
    outcome = small.run("b", quarry.hoard)
    assert isinstance(outcome, Failed)
    assert outcome.fault.message.startswith("MemoryError")
    assert small.result("c", quarry.pid) != pid


def test_a_process_is_renewed_after_so_many_jobs(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_BACKBURNER_PROCESS_JOBS", "2")
    first, second, third = (site.result(id, quarry.pid) for id in "abc")
    assert first == second
    assert second != third


def test_a_process_that_a_job_has_changed_is_renewed(site: Site, tmp_path: Path) -> None:
    pid = site.result("a", quarry.leave_folder, str(tmp_path))
    found = site.result("b", quarry.where)
    assert found["pid"] != pid
    assert found["folder"] == os.getcwd()


def test_what_a_job_has_started_ends_with_it(site: Site) -> None:
    pid = site.result("a", quarry.leave_daemon)
    until(lambda: not processes.alive(pid), SECONDS)


# When there can be no process


@pytest.fixture
def broken(site: Site) -> Path:
    """While this exists the app cannot be loaded."""
    path = Path(os.environ[quarry.BROKEN])
    path.touch()
    return path


def test_while_the_app_cannot_be_loaded_jobs_are_handed_back_and_the_log_says_what_to_do(
    site: Site, broken: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "FIRST_PAUSE", SECONDS)
    monkeypatch.setattr(keeper, "LONGEST_PAUSE", SECONDS)
    assert site.run("a", quarry.add, 1, 2) == Released(started=False)
    assert site.pool.room == 0
    assert site.run("b", quarry.add, 1, 2) == Released(started=False)
    assert site.begun == []
    words = "because their process could not load the app: RuntimeError: the quarry is closed. Set"
    assert [words in record.getMessage() for record in caplog.records] == [True]


def test_an_app_that_can_be_loaded_again_is_noticed(site: Site, broken: Path) -> None:
    site.run("a", quarry.add, 1, 2)
    broken.unlink()
    until(lambda: site.pool.room == 2, SECONDS)
    assert site.run("b", quarry.add, 1, 2) == Succeeded(b"3")
