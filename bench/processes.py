"""What a process of its own costs a job, beside the standard library's pool of processes."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from bench.app import app
from bench.table import row
from flask_backburner.engine.local.address import Address
from flask_backburner.engine.local.letter import installation_of
from flask_backburner.engine.local.pool import Means
from flask_backburner.engine.local.processes import ProcessPool
from flask_backburner.record import Succeeded
from flask_backburner.store.claim import Claim

JOBS = 2_000


def nothing() -> None:
    """The job whose cost is all the pool's."""


def one_after_the_other(run: Callable[[], None]) -> float:
    """Microseconds that half of the jobs take at most, from the order to the outcome."""
    run()
    spent = []
    for _ in range(JOBS):
        began = time.perf_counter()
        run()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent) * 1e6


def in_a_slot() -> float:
    """Our own; each job in an app context, its outcome ready to be recorded."""
    installation = installation_of(app)
    bell = threading.Semaphore(0)
    means = Means(
        begin=lambda claim: True,
        commit=lambda report: True,
        ring=bell.release,
        timeout=lambda task: None,
        files=installation.files,
    )
    pool = ProcessPool(1, means, installation, Address("bench.app:app", told=False))
    claim = Claim("id", 1, "bench.app:nothing", "default", 1, b"{}")

    def run() -> None:
        pool.take([claim])
        bell.acquire()
        [settlement], _ = pool.settled()
        assert isinstance(settlement.outcome, Succeeded)

    try:
        return one_after_the_other(run)
    finally:
        pool.close(5.0)


def in_an_executor() -> float:
    """``ProcessPoolExecutor(1)``."""
    with ProcessPoolExecutor(1) as executor:
        return one_after_the_other(lambda: executor.submit(nothing).result())


def main() -> None:
    slot = row("a no-op process job, p50", "µs", in_a_slot)
    executor = row("the same in a ProcessPoolExecutor, p50", "µs", in_an_executor)
    print(f"{'slot / ProcessPoolExecutor':<58} {slot / executor:>12.2f}")


if __name__ == "__main__":
    main()
