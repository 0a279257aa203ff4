"""Engine: the seam between starting jobs and the processes that run them."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Engine(ABC):
    """Provides processes. It never decides which job runs: whoever has room asks the store."""

    @abstractmethod
    def announce(self, queue: str, jobs: int) -> None:
        """Say that a queue has so many new jobs, or that a job of it is to be cancelled.

        Only makes things faster: work that was never announced is found by polling. Never
        blocks and never raises because nobody listens.
        """

    @abstractmethod
    def check_process_jobs(self) -> None:
        """Raise ``BackburnerError``, saying what to set, if no job could get a process of its own.

        Called whenever such a job is started, so cheap.
        """

    @abstractmethod
    def start(self) -> None:
        """Provide what this process is to provide; called at a web process's first request.

        Repeatable, also in a forked child.
        """

    @abstractmethod
    def stop(self, grace: float) -> None:
        """Stop claiming, give running jobs so many seconds, hand the rest back.

        Complete when it returns; repeatable; safe when never started.
        """
