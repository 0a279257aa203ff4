"""ProcessPool: runs process jobs, each in a slot: a process that no other job shares meanwhile."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time

from ...errors import JobInterrupted, JobReleased
from ...installation import Installation
from ...runner import stopped
from ...running import RunningJob
from ...store.claim import Settlement
from .address import Address
from .berth import Berth, Nurse
from .keeper import Duty, Keeper
from .letter import letter_about
from .pool import Means, Pool

FORCED_SECONDS = 3.0

CAN_FORK = hasattr(os, "fork") and hasattr(socket, "send_fds")
"""Whether this system can have process jobs; Windows cannot."""


class ProcessPool(Pool):
    """Runs claimed jobs in ``size`` slots, which are started when they are needed.

    A job that was told to stop gets SIGTERM at once and is killed ``STOP_SECONDS`` later, with
    all that it has started. While no process can be started there is no room.
    """

    def __init__(
        self, size: int, means: Means, installation: Installation, address: Address
    ) -> None:
        """``address`` is where the processes of the slots find the app."""
        super().__init__(size, means)
        self._duty = Duty(
            Nurse(letter_about(installation, address)),
            means,
            self._not_begun,
            lambda running: stopped(installation, running.claim, running.interrupt or JobReleased),
            self._ended,
            # Looked up late: gevent puts queues of its own here, which let others run.
            queue.SimpleQueue(),
        )
        self._threads: list[threading.Thread] = []

    @property
    def waiting(self) -> int:
        return self._duty.line.qsize()

    @property
    def room(self) -> int:
        return 0 if self._duty.pause.lasts else super().room

    def _accept(self, running: RunningJob) -> None:
        if len(self._threads) < min(self.size, self.held):
            self._start_thread()
        self._duty.line.put(running)

    def _start_thread(self) -> None:
        name = f"backburner-slot-{len(self._threads)}"
        thread = threading.Thread(target=Keeper(self._duty).serve, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _tell(self, running: RunningJob, how: type[JobInterrupted]) -> None:
        running.interrupt = how
        berth = self._duty.berths.get(running)
        if berth is not None:
            berth.interrupt(running)

    def _gone_astray(self, running: RunningJob) -> None:
        berth = self._duty.berths.get(running)
        if berth is not None:
            berth.kill()

    def _came_back(self, running: RunningJob) -> None:
        """Its slot is another by now."""

    def force(self) -> bool:
        told = [
            berth for job, berth in list(self._duty.berths.items()) if job.interrupt is not None
        ]
        for berth in told:
            berth.kill()
        return bool(told)

    def hand_back_waiting(self) -> list[Settlement]:
        return self._back_from(self._duty.line)

    def close(self, patience: float) -> None:
        """End all processes; one whose job goes on is killed after so many seconds."""
        deadline = time.monotonic() + patience
        self._duty.closing.set()
        for _ in self._threads:
            self._duty.line.put(None)
        self._join(deadline)
        for force in (Berth.kill, self._duty.nurse.kill_guard):
            for berth in list(self._duty.berths.values()):
                force(berth)
            self._join(time.monotonic() + FORCED_SECONDS)
        self._duty.nurse.close()

    def _join(self, deadline: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
