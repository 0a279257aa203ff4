"""Quarantine: a suspicious job waits here until nothing else runs in its process."""

from __future__ import annotations

from ...errors import JobInterrupted
from ...running import RunningJob
from ...store.claim import Claim, Settlement
from .pool import Means, Pool


class Quarantine(Pool):
    """Keeps one job that has crashed its process before, where no process of its own can be had.

    The job does not begin here: whoever sees to it that nothing else runs lets it out.
    """

    def __init__(self, means: Means) -> None:
        super().__init__(1, means)
        self._kept: RunningJob | None = None

    @property
    def waiting(self) -> int:
        return int(self._kept is not None)

    def _accept(self, running: RunningJob) -> None:
        self._kept = running

    def let_out(self) -> list[Claim]:
        """Give the job away, if there is one: it may run now."""
        return [entry.claim for entry in self.hand_back_waiting()]

    def _tell(self, running: RunningJob, how: type[JobInterrupted]) -> None:
        running.interrupt = how
        self._kept = None
        outcome = self._not_begun(running)
        assert outcome is not None
        self._ended(running, outcome)

    def _gone_astray(self, running: RunningJob) -> None:
        """Nothing runs here."""

    def _came_back(self, running: RunningJob) -> None:
        """Nothing runs here."""

    def hand_back_waiting(self) -> list[Settlement]:
        kept, self._kept = self._kept, None
        return [self._back_in_line(kept)] if kept else []

    def close(self, patience: float) -> None:
        """Nothing was started."""
