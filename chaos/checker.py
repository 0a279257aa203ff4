"""The checker: what must be true after every scenario, judged by the journal and the ledger.

It knows nothing of the product but its tables. Each function is an invariant and carries its
name; what it yields are the cases in which it was broken.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from chaos.journal import DEATHS, Attempt, Entry, is_of
from chaos.ledger import Row

SUSPICIOUS = 2
WAL_BYTES = 64 << 20
SHOWN = 5


@dataclass(frozen=True)
class Breach:
    """A broken invariant, by its name, and what shows it."""

    invariant: str
    words: str


@dataclass(frozen=True)
class Evidence:
    """What is known after a scenario.

    ``endings`` says of tasks how their jobs are to end: ``succeeded``, ``cancelled`` or the code
    of their failure; those of other tasks are to succeed. Each process had so many ``threads``
    for jobs.
    """

    entries: list[Entry]
    attempts: list[Attempt]
    jobs: Mapping[str, Row]
    endings: Mapping[str, str]
    threads: int

    @cached_property
    def acknowledged(self) -> Counter[str]:
        return Counter(entry.id for entry in self.entries if entry.event == "acknowledged")

    @cached_property
    def tried(self) -> dict[str, list[Attempt]]:
        """The attempts of each job, in order."""
        tried: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            tried[attempt.id].append(attempt)
        return tried

    @cached_property
    def killed(self) -> set[str]:
        """The processes that were killed, or killed themselves."""
        return {entry.process for entry in self.entries if entry.event in DEATHS}

    @cached_property
    def _told(self) -> set[str]:
        return {entry.process for entry in self.entries if entry.event == "told"}

    def was_told(self, process: str) -> bool:
        """Whether it was told to stop, alone or with all that was started together."""
        return any(is_of(process, told) for told in self._told)


def kept(seen: Evidence) -> Iterator[str]:
    """Every acknowledged job exists."""
    for id in seen.acknowledged:
        if id not in seen.jobs:
            yield f"job {id} was acknowledged and is not in the store"


def acknowledged_once(seen: Evidence) -> Iterator[str]:
    """No two clients were given one id."""
    for id, times in seen.acknowledged.items():
        if times > 1:
            yield f"job {id} was acknowledged {times} times"


def finished(seen: Evidence) -> Iterator[str]:
    """Every job ends."""
    for job in seen.jobs.values():
        if not job.final:
            yield f"job {job.id} ({job.task}) is still {job.state}"


def ending(seen: Evidence) -> Iterator[str]:
    """Every job ends in the state that tells the truth."""
    for job in seen.jobs.values():
        wanted = seen.endings.get(job.task.rpartition(":")[2], "succeeded")
        found = job.code if job.state == "failed" else job.state
        if job.final and found != wanted:
            yield f"job {job.id} ({job.task}) is {job.state} ({job.code}) instead of {wanted}"


def starts(seen: Evidence) -> Iterator[str]:
    """A job starts once, and once more for each crash, retry and release."""
    for id, attempts in seen.tried.items():
        job = seen.jobs.get(id)
        if job is None:
            continue
        releases = sum(seen.was_told(attempt.process) for attempt in attempts)
        allowed = 1 + job.crashes + job.failures + releases
        if len(attempts) > allowed:
            yield (
                f"job {id} began {len(attempts)} times, with {job.crashes} crashes, "
                f"{job.failures} retries and {releases} releases"
            )


def blame(seen: Evidence) -> Iterator[str]:
    """A crash counts only for jobs that had started in a process that died.

    A process that dies between the note of a start and the job's first line has begun nothing
    that the journal knows of: for each death as many are forgiven as it had threads besides.
    """
    blamed = 0
    for job in seen.jobs.values():
        died = sum(attempt.process in seen.killed for attempt in seen.tried.get(job.id, ()))
        blamed += max(0, job.crashes - died)
    open_at_death = Counter(
        {each.process: 0 for each in seen.attempts if each.process in seen.killed}
    )
    open_at_death.update(
        each.process for each in seen.attempts if each.process in seen.killed and not each.ended
    )
    forgiven = sum(max(0, seen.threads - running) for running in open_at_death.values())
    if blamed > forgiven:
        yield (
            f"{blamed} crashes are of jobs that had not begun where a process died, "
            f"and {forgiven} can have been about to"
        )


def _beside(entries: Iterable[Entry]) -> Iterator[tuple[Entry, set[tuple[str, int]]]]:
    """Each beginning, with the attempts (id and fence) that go on in its process at that time."""
    running: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for entry in entries:
        beside, attempt = running[entry.process], (entry.id, entry.fence)
        if entry.event == "began":
            yield entry, set(beside)
            beside.add(attempt)
        elif entry.event == "ended":
            beside.discard(attempt)


def no_crash(seen: Evidence) -> Iterator[str]:
    """Where nothing was killed, nothing counts as a crash."""
    crashes = {job.id: job.crashes for job in seen.jobs.values() if job.crashes}
    if crashes and not seen.killed:
        yield f"nothing was killed, but {len(crashes)} jobs have crashes: {shown(crashes)}"


def alone(seen: Evidence) -> Iterator[str]:
    """From its second crash on a job runs where nothing else does."""
    dead = {
        (attempt.id, attempt.fence)
        for attempt in seen.attempts
        if attempt.process in seen.killed and not attempt.ended
    }
    crashed: Counter[str] = Counter()
    suspects: set[tuple[str, int]] = set()
    for entry, beside in _beside(seen.entries):
        attempt = (entry.id, entry.fence)
        if crashed[entry.id] >= SUSPICIOUS:
            suspects.add(attempt)
        crashed[entry.id] += attempt in dead
        if beside and suspects & {attempt, *beside}:
            others = shown(id for id, _ in beside)
            yield f"job {entry.id} ran beside {others}, one of which had crashed twice"


def fences(seen: Evidence) -> Iterator[str]:
    """The fence of a job rises with each attempt."""
    for id, attempts in seen.tried.items():
        shown_fences = [attempt.fence for attempt in attempts]
        if any(later <= earlier for earlier, later in pairwise(shown_fences)):
            yield f"job {id} began under the fences {shown_fences}"
        if id in seen.jobs and seen.jobs[id].fence < shown_fences[-1]:
            yield f"job {id} has the fence {seen.jobs[id].fence} but ran under {shown_fences[-1]}"


def result(seen: Evidence) -> Iterator[str]:
    """The one recorded result is of the last attempt. (Each task here returns its fence.)"""
    for job in seen.jobs.values():
        if job.state == "succeeded" and json.loads(job.result or b"null") != job.fence:
            yield f"job {job.id} has the result of fence {job.result!r} under fence {job.fence}"


INVARIANTS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    kept,
    acknowledged_once,
    finished,
    ending,
    starts,
    blame,
    no_crash,
    alone,
    fences,
    result,
)


def judge(seen: Evidence) -> list[Breach]:
    """Every case in which an invariant was broken."""
    return [
        Breach(invariant.__name__, words) for invariant in INVARIANTS for words in invariant(seen)
    ]


def summed(breaches: Iterable[Breach]) -> list[Breach]:
    """The first few cases of each invariant, and how many more there are."""
    cases: dict[str, list[Breach]] = defaultdict(list)
    for breach in dict.fromkeys(breaches):
        cases[breach.invariant].append(breach)
    few = []
    for invariant, all_of_it in cases.items():
        few += all_of_it[:SHOWN]
        if len(all_of_it) > SHOWN:
            few.append(Breach(invariant, f"… and {len(all_of_it) - SHOWN} cases more"))
    return few


def shown(things: Iterable[object]) -> str:
    """The first few of them."""
    return ", ".join(sorted(map(str, things))[:SHOWN])
