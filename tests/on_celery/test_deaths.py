"""Processes that die, hang or do not listen, and what becomes of their jobs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from apps import depot
from apps.depot import ended

from support import processes
from support.depots import LONG, THREADS, Depot, on_both, on_redis
from support.journal import Journal
from support.latch import Latch
from support.redis_server import client
from support.waiting import until

# When something dies


@on_both
def test_a_killed_child_harms_its_own_job_only_which_runs_again(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    worker = shop.worker("-c", "2")
    doomed, innocent = depot.hold.delay(), depot.hold.delay()
    latch.arrived(2, LONG)
    (pid,) = journal.pids(doomed.id)
    assert pid != worker.pid
    worker.kill9(pid)
    latch.arrived(3, LONG)
    latch.open()
    assert (ended(doomed).attempt, doomed.record.crashes) == (2, 1)
    assert (ended(innocent).attempt, innocent.record.crashes) == (1, 0)


@on_redis
def test_with_one_child_only_work_goes_on_after_its_death(shop: Depot) -> None:
    shop.worker("-c", "1")
    job = ended(depot.die.delay(2))
    assert (job.result, job.attempt, job.record.crashes) == ("survived", 3, 2)


@on_redis
def test_who_always_kills_its_process_is_lost_and_nobody_else(shop: Depot) -> None:
    shop.worker()
    poison = depot.die.delay(99)
    innocents = depot.add.map([(n, n) for n in range(40)])
    assert [ended(job).state for job in innocents] == ["succeeded"] * 40
    assert {job.record.crashes for job in innocents} == {0}
    fault = ended(poison).error
    assert fault is not None
    assert (fault.code, poison.record.crashes) == ("lost", 4)


@on_both
def test_a_killed_worker_with_all_its_children_leaves_its_jobs_to_another(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    first = shop.worker()
    jobs = [depot.hold.delay() for _ in range(2)]
    latch.arrived(2, LONG)
    first.kill9()
    until(lambda: first.pids() == [], LONG, "the end of its children")
    latch.open()
    shop.worker()
    assert [ended(job).attempt for job in jobs] == [2, 2]


@on_redis
def test_threads_whose_process_is_killed_leave_their_jobs_to_another(
    shop: Depot, latch: Latch
) -> None:
    first = shop.worker(*THREADS, **{depot.NO_PROCESS_TASK: "1"})
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    first.kill9()
    shop.worker()
    latch.arrived(2, LONG)
    latch.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 1)


@on_redis
def test_a_dead_machine_is_told_by_its_silence(shop: Depot, latch: Latch, tmp_path: Path) -> None:
    first = shop.worker()
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    (tmp_path / "other").mkdir()
    shop.worker(TMPDIR=str(tmp_path / "other"))  # sees nothing of the first one but in Redis
    first.kill9()
    latch.arrived(2, LONG)
    latch.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 1)


# Time


@on_redis
def test_a_timeout_ends_the_process_of_a_job_that_does_not_listen(
    shop: Depot, journal: Journal
) -> None:
    shop.worker()
    job = depot.spin.delay()
    error = ended(job).error
    assert error is not None
    assert (error.code, job.attempt, job.record.crashes) == ("timeout", 1, 0)
    (pid,) = journal.pids(job.id)
    until(lambda: not processes.alive(pid), LONG)


@on_redis
def test_a_timeout_is_a_failure_that_may_be_retried(shop: Depot) -> None:
    shop.worker()
    job = ended(depot.spin_once.delay())
    assert (job.result, job.attempt, job.record.crashes) == ("done", 2, 0)


@on_redis
def test_a_timeout_reaches_a_job_that_lets_no_thread_run(shop: Depot, journal: Journal) -> None:
    shop.worker()
    job = depot.grip.delay()
    error = ended(job).error
    assert error is not None
    assert (error.code, job.attempt, job.record.crashes) == ("timeout", 1, 0)
    (pid,) = journal.pids(job.id)
    until(lambda: not processes.alive(pid), LONG)


@on_redis
def test_a_job_that_lets_no_thread_run_is_not_taken_for_dead(shop: Depot) -> None:
    shop.worker()
    job = depot.long_grip.delay(12)
    assert (ended(job).result, job.attempt, job.record.crashes) == (12, 1, 0)


@on_redis
def test_a_cancel_ends_the_process_of_a_job_that_does_not_listen(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    shop.worker()
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    job.cancel()
    assert ended(job).state == "cancelled"
    (pid,) = journal.pids(job.id)
    until(lambda: not processes.alive(pid), LONG)


@on_redis
def test_a_process_that_hangs_is_ended_and_its_job_runs_again_without_blame(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    shop.worker(FLASK_BACKBURNER_HANG="4")
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    (pid,) = journal.pids(job.id)
    processes.kill(pid, signal.SIGSTOP)
    latch.arrived(2, LONG)
    latch.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 0)
    until(lambda: not processes.alive(pid), LONG)


@on_redis
def test_a_job_beyond_the_memory_limit_fails_and_harms_no_other(shop: Depot) -> None:
    worker = shop.worker("-c", "1", FLASK_BACKBURNER_PROCESS_MEMORY=str(256 << 20))
    record = ended(depot.hoard.delay()).record
    assert record.fault is not None
    assert record.fault.message.startswith("MemoryError")
    assert ended(depot.add.delay(1, 2)).result == 3
    assert worker.running()


COMMANDS = [
    b"not json",
    b'{"body": null, "properties": {"delivery_tag": "1", "delivery_info": {}}, "headers": {}}',
]


@on_redis
@pytest.mark.parametrize("command", COMMANDS, ids=["not JSON", "empty"])
def test_a_command_that_nobody_understands_harms_no_worker_with_a_new_process(
    shop: Depot, command: bytes
) -> None:
    worker = shop.worker()
    victim = min(processes.descendants(worker.pid))
    worker.kill9(victim)
    until(lambda: len(processes.descendants(worker.pid) - {victim}) == 2, LONG)
    with client(shop.installation.settings.broker or "") as broker:
        heard = broker.publish(f"{shop.celery.names.everything}:/0.celery.pidbox", command)
    assert heard == 1
    until(lambda: "pidbox" in worker.output() or "JSONDecodeError" in worker.output(), LONG)
    assert ended(depot.add.delay(1, 2)).result == 3
    worker.terminate()
    assert worker.wait(LONG) == 0
