"""Scene: a store in a folder of its own, the processes around it, and what is known of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from chaos.checker import Breach, Evidence, judge, summed
from chaos.client import Client
from chaos.environment import FOLDER, JOURNAL
from chaos.journal import Journal, note
from chaos.ledger import Ledger
from chaos.leftovers import descriptors, marked
from chaos.watch import Watch
from support import latch, processes
from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

ROOT = Path(__file__).resolve().parents[1]
APP = "chaos.app:app"
PATIENCE = 60.0
"""So many seconds anything may take that is not timed; a machine under load is slow."""

STANDSTILL = 60.0
"""When no job has ended for so many seconds, no more will."""
SOON = 2.0
TRIES = 10


class Scene:
    """Where one scenario plays.

    ``slack`` seconds more than is promised may be taken by what is timed. A scenario says in
    ``done`` and ``found`` what it did and saw, in ``endings`` which jobs are not to succeed, in
    ``threads`` how many jobs a process may run at a time, in ``since``, a monotonic time, from
    when on the store is to remember everything, and whether clients are ``patient`` with a store
    that is away.
    """

    def __init__(self, slack: float) -> None:
        self.slack = slack
        self.done = self.found = ""
        self.endings: dict[str, str] = {}
        self.threads = 4
        self.since = 0.0
        self.patient = False
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.journal = Journal(self.folder / "journal")
        os.environ[JOURNAL] = str(self.journal.path)
        self.ledger = self._make_ledger()
        self.servers = Servers(self.folder)
        self.servers.env = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            FOLDER: str(self.folder / "store"),
            latch.FOLDER: str(self.folder),
            JOURNAL: str(self.journal.path),
        }
        self.hits: list[bool] = []
        self._breaches: list[Breach] = []
        self._latches: list[Latch] = []
        self._client: Client | None = None
        self._watch = Watch(self.ledger)
        self._watch.start()

    def _make_ledger(self) -> Ledger:
        return Ledger(self.folder / "store" / "backburner.db")

    def configure(self, **settings: object) -> None:
        """Configure the app: ``hang=2`` is ``BACKBURNER_HANG``."""
        for key, value in settings.items():
            self.servers.env[f"FLASK_BACKBURNER_{key.upper()}"] = json.dumps(value)

    def latch(self, name: str) -> Latch:
        """A latch that jobs wait at; it opens when the scenario is over."""
        self._latches.append(Latch(self.folder, name))
        return self._latches[-1]

    def start(self, task: str, *arguments: Any, jobs: int = 1, at: float | None = None) -> None:
        """Start jobs by a client; on return all are acknowledged.

        They may run ``at`` a time in seconds since the epoch, if one is given.
        """
        if self._client is None:
            self._client = Client(self.servers, self.journal)
        self._client.start(task, jobs, at, arguments, patient=self.patient)

    def dismiss_client(self) -> None:
        """Another one, as things are configured by then, starts the next jobs."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def worker(self, *args: str, **environment: str) -> Served:
        """``flask jobs worker``; does not wait for anything."""
        return self.servers.worker(ROOT, APP, *args, env=environment)

    def serving(self, worker: Served) -> Served:
        """Wait until the worker serves."""
        until(
            lambda: "Serving" in worker.output() or not worker.running(),
            PATIENCE,
            lambda: f"{worker!r} to serve\n{worker.output()}",
        )
        return worker

    def gunicorn(self, *args: str) -> Served:
        """gunicorn with the module that starts what runs jobs without a request."""
        return self.servers.gunicorn(ROOT, APP, "-c", "python:flask_backburner.gunicorn", *args)

    def begun(self, attempts: int, served: Served) -> None:
        """Wait until so many attempts go on in what was started."""
        until(
            lambda: len(self.journal.going_on(served.mark)) >= attempts,
            PATIENCE,
            lambda: f"{attempts} running jobs in {served!r}\n{served.output()}",
        )

    def keep_busy(self, served: Served, task: str, *arguments: Any, jobs: int) -> None:
        """Wait until a job goes on there; others may have been quicker, so start more at need."""
        for _ in range(TRIES):
            self._patiently(lambda: bool(self.journal.going_on(served.mark)), SOON)
            if self.journal.going_on(served.mark):
                return
            self.start(task, *arguments, jobs=jobs)
        self.begun(1, served)

    def kill(self, served: Served, pid: int | None = None) -> None:
        """``kill -9`` a process and the family that dies with it."""
        victim = served.pid if pid is None else pid
        dying = {victim} | processes.descendants(victim)
        self._note_death(served, dying)
        served.kill9(victim)
        until(lambda: not any(map(processes.alive, dying)), PATIENCE, f"the end of {dying}")
        names = {f"{served.mark}{each}" for each in dying}
        self.hits.append(bool(self.journal.cut_off(names)))

    def kill_owner(self, served: Served, pid: int) -> None:
        """``kill -9`` a web process; what it started to run jobs hands them over."""
        self.hits.append(bool(self.journal.going_on(served.mark)))
        self._note_death(served, {pid})
        served.kill9(pid)

    def _note_death(self, served: Served, pids: Iterable[int]) -> None:
        for pid in pids:
            note("killed", process=f"{served.mark}{pid}")

    def tell(self, served: Served, number: int = signal.SIGTERM) -> None:
        """Signal a server or a worker that it is to stop, or to begin anew."""
        self.told(served)
        served.terminate(number)

    def told(self, served: Served) -> None:
        """Note that its processes are to give back what they run."""
        note("told", process=served.mark)

    def all_end(self, within: float | None = None, since: float | None = None) -> float:
        """Wait until every job is over; how many seconds that took, ``since`` then or now.

        Later than ``within`` is a breach. What comes to a standstill is the checker's to name.
        """
        moved_at = time.monotonic()
        began = moved_at if since is None else since
        least = len(self.ledger.unfinished())
        while least and time.monotonic() - moved_at < STANDSTILL:
            time.sleep(0.02)
            left = len(self.ledger.unfinished())
            if left < least:
                least, moved_at = left, time.monotonic()
        took = time.monotonic() - began
        if within is not None and took > within + self.slack:
            words = f"the last job ended after {took:.1f} s, not within {within:.1f} s"
            self.broken("late", f"{words} and {self.slack:g} s of slack")
        self._ownerless()
        return took

    def _patiently(self, condition: Callable[[], bool], deadline: float) -> None:
        """Wait; what does not come is the checker's to say."""
        end = time.monotonic() + deadline
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)

    def _ownerless(self) -> None:
        living = self.ledger.living()
        for job in self.ledger.jobs().values():
            held = any(name.endswith(job.worker or "?") for name in living)
            if job.state == "running" and not held:
                words = f"job {job.id} is running, but its worker {job.worker} is dead"
                self.broken("owner", words)

    def broken(self, invariant: str, words: str) -> None:
        """Note an invariant that was broken."""
        self._breaches.append(Breach(invariant, words))

    @property
    def hit(self) -> int:
        """How many kills hit a running job."""
        return sum(self.hits)

    def check_hits(self) -> None:
        """At least four kills in five must have hit a running job; of a few one may miss."""
        missed = len(self.hits) - self.hit
        if missed > max(1, len(self.hits) // 5):
            self.broken("hits", f"only {self.hit} of {len(self.hits)} kills hit a job")

    def close(self) -> list[Breach]:
        """End everything, and check what is left; every breach there was."""
        for each in self._latches:
            each.close()
        self.dismiss_client()
        orphans = [f"process {pid}: {processes.command(pid)}" for pid in self._end_all()]
        self._watch.stop()
        found = self._breaches + self._watch.breaches
        found += [Breach("left_over", words) for words in [*orphans, *self._left_over()]]
        return summed(found + self._judged())

    def _end_all(self) -> set[int]:
        """End the servers as their operator would; what lives on although they have ended."""
        marks = [served.mark for served in self.servers.started]
        for served in self.servers.started:
            if served.running():
                self.tell(served)
                served.terminate(signal.SIGCONT)  # if it was stopped
        self._patiently(lambda: not any(each.running() for each in self.servers.started), PATIENCE)
        self._patiently(lambda: not marked(marks), PATIENCE)
        left = marked(marks)
        self.servers.stop()
        return left

    def _left_over(self) -> list[str]:
        locks = [f"the lock {lock.name} is held" for lock in self.ledger.locks()]
        return [*locks, *descriptors(self.folder)]

    def _judged(self) -> list[Breach]:
        evidence = self._evidence()
        if not evidence.jobs:
            return [Breach("kept", "there is no job at all")]
        found = judge(evidence)
        found += [Breach("integrity", words) for words in self.ledger.integrity()]
        counted, counters = self.ledger.counted(), self.ledger.counters()
        if counted != counters:
            found.append(Breach("counters", f"there are {counted}, but kept is {counters}"))
        return found

    def _evidence(self) -> Evidence:
        """What there is to judge."""
        return Evidence(
            [entry for entry in self.journal.entries() if entry.at >= self.since],
            [attempt for attempt in self.journal.attempts() if attempt.at >= self.since],
            self.ledger.jobs(),
            self.endings,
            self.threads,
        )

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)
