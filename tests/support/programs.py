"""Small Python programs in processes of their own, for what a test's own process cannot show."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

DEADLINE = 60.0

# Root may write everywhere; without these rights even root obeys a folder's mode.
OBEDIENT = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    if hasattr(os, "geteuid") and os.geteuid() == 0
    else ()
)


def said(source: str, *arguments: object, before: Sequence[str] = ()) -> str:
    """Run a program to its end, which must be a good one; what it printed."""
    done = subprocess.run(
        _command(source, arguments, before),
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@contextmanager
def running(source: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program that runs and has said its first line; it is killed in the end."""
    with subprocess.Popen(
        _command(source, arguments, ()),
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() != "", "the program ended before its first line"
            yield process
        finally:
            process.kill()


def _command(source: str, arguments: Sequence[object], before: Sequence[str]) -> list[str]:
    return [*before, sys.executable, "-W", "error", "-c", source, *map(str, arguments)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
