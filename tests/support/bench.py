"""A bench: a site whose jobs run when the test says so, at the time that the test says it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from flask_backburner import Job, Task
from flask_backburner.files import FileFolder
from flask_backburner.running import RunningJob
from flask_backburner.store.claim import Claim, Report
from flask_backburner.testing import JobBench, isolated
from support.apps import Site, site_in


class Bench:
    """The jobs of a site; its tasks are functions of the test without arguments."""

    def __init__(self, site: Site, jobs: JobBench) -> None:
        self.site = site
        self.clock = jobs.clock
        self.run = jobs.run
        self.crash = jobs.crash
        self.store = site.tasks.installation(site.app).store
        self._names = count()

    def task(self, function: Callable[[], Any], **options: Any) -> Task[[], Any]:
        """Make a function a task: the first is called ``task 0``."""

        def task() -> Any:
            return function()

        name = f"task {next(self._names)}"
        made: Task[[], Any] = self.site.tasks.task(name=name, **options)(task)
        return made

    def run_after(self, seconds: float) -> list[Job[Any]]:
        """Let so much time pass, then run what is due."""
        self.clock.advance(seconds)
        return self.run()

    def go_on(self) -> Job[Any]:
        """Take up the job of a worker that died, and run it."""
        self.run()
        (job,) = self.run_after(1)
        return job

    def failure_of(self, function: Callable[[], Any]) -> tuple[str, str]:
        """Code and message of the error by which a job of this function fails."""
        job = self.task(function).delay()
        self.run()
        error = job.refresh().error
        assert error is not None
        return error.code, error.message


@contextmanager
def bench_in(folder: Path, **config: Any) -> Iterator[Bench]:
    """A bench, within the context of its app."""
    with (
        site_in(folder / "own", **config) as site,
        isolated(site.app, folder) as jobs,
        site.app.app_context(),
    ):
        yield Bench(site, jobs)


def attempt(tmp_path: Path, answers: list[bool]) -> tuple[RunningJob, list[Report]]:
    """An attempt in nobody's hands; whether its reports are taken is the test's to say."""
    reports: list[Report] = []

    def commit(report: Report) -> bool:
        reports.append(report)
        return answers.pop(0)

    claim = Claim("id", 1, "task", "default", 1, b"{}")
    return RunningJob(claim, FileFolder(str(tmp_path)), commit), reports
