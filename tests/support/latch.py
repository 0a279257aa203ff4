"""A latch: the test holds a job in another process, and lets it go on step by step.

The job, wherever it runs::

    from support.latch import pass_latch

    for month in range(12):
        pass_latch()

The test (with the ``latch`` fixture)::

    latch.arrived(1)   # waits until the job stands before it
    latch.step(3)      # lets it pass three times
    latch.open()       # and now as often as it likes
"""

from __future__ import annotations

import os
import select
from pathlib import Path

from support.waiting import until

FOLDER = "LATCH_FOLDER"
PATIENCE = 180.0


def pass_latch(name: str = "latch") -> None:
    """Wait here until the test lets this job pass; three minutes at most."""
    path = Path(os.environ[FOLDER], name)
    _append(_arrivals(path), b".")
    if _opened(path).exists():
        return
    # Read and write: opening never blocks, and the last writer's leaving is no end of file.
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        _take_token(pipe, path)
        if _opened(path).exists():
            os.write(pipe, b".")
    finally:
        os.close(pipe)


class Latch:
    """The test's end of a latch in ``folder``; several latches differ by ``name``."""

    def __init__(self, folder: Path, name: str = "latch") -> None:
        self.path = folder / name
        os.mkfifo(self.path)
        # Held open for as long as the latch lives: a pipe that nobody has open forgets its bytes.
        self._pipe = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def step(self, times: int = 1) -> None:
        """Let ``times`` passes through, now or when somebody comes."""
        os.write(self._pipe, b"." * times)

    def open(self) -> None:
        """Let everybody through from now on."""
        _opened(self.path).touch()
        self.step()

    def arrived(self, times: int, deadline: float = 60.0) -> None:
        """Wait until jobs have come to the latch ``times`` times altogether."""
        what = f"{times} arrivals at the latch {self.path.name!r}"
        until(lambda: self.arrivals >= times, deadline, what)

    @property
    def arrivals(self) -> int:
        """How often jobs have come to the latch so far."""
        arrivals = _arrivals(self.path)
        return arrivals.stat().st_size if arrivals.exists() else 0

    def close(self) -> None:
        """Open it for good and let go of it."""
        self.open()
        os.close(self._pipe)


def _take_token(pipe: int, path: Path) -> None:
    while True:
        ready, _, _ = select.select([pipe], [], [], PATIENCE)
        if not ready:
            raise TimeoutError(f"nobody opened the latch {path} within {PATIENCE:g} s")
        try:
            os.read(pipe, 1)
        except BlockingIOError:
            continue  # another job was quicker
        return


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _arrivals(path: Path) -> Path:
    return path.with_name(path.name + ".arrivals")


def _opened(path: Path) -> Path:
    return path.with_name(path.name + ".opened")
