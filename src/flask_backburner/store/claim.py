"""Claim: a job in a worker's hands, and what worker and store say to each other about it."""

from __future__ import annotations

from msgspec import Struct

from ..record import JobFile, Line, Outcome, Progress


class Claim(Struct, frozen=True):
    """A job in the hands of one worker. Who speaks for it shows ``id`` and ``fence``.

    ``saved`` is what its earlier attempts wished to keep, by key.
    """

    id: str
    fence: int
    task: str
    queue: str
    attempt: int
    arguments: bytes
    failures: int = 0
    retries: int = 0
    crashes: int = 0
    saved: tuple[tuple[str, bytes], ...] = ()


class Report(Struct, frozen=True):
    """News of a running job: its progress if that changed, new log lines and files.

    ``saved`` is what later attempts shall know, by key; ``None`` forgets the key. ``overdue``
    says that the job was told to stop and has not.
    """

    claim: Claim
    progress: Progress | None = None
    lines: tuple[Line, ...] = ()
    files: tuple[JobFile, ...] = ()
    saved: tuple[tuple[str, bytes | None], ...] = ()
    overdue: bool = False


class Settlement(Struct, frozen=True):
    """How the attempt of a claimed job ended."""

    claim: Claim
    outcome: Outcome


class Turn(Struct, frozen=True):
    """What a worker gets back from its turn.

    ``refused`` holds the claims, of those settled or reported, that are not this worker's any
    more: nothing was recorded for them and their code is to stop. ``cancelling`` holds the ids
    of this worker's running jobs for which a cancel was asked.
    """

    claimed: tuple[Claim, ...] = ()
    refused: tuple[Claim, ...] = ()
    cancelling: tuple[str, ...] = ()
