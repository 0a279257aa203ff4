"""The embedded worker: a process that a web process starts, and that ends with it.

The first line on its standard input is a letter that says which app to load; the end of the
input means that its owner is gone.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback

import msgspec

from ...installation import Installation
from .address import Address
from .letter import HOW_TO_TELL, Letter, load, log_to_stderr
from .shutdown import Shutdown
from .watchdog import Watchdog
from .worker import Worker

ROLE = "embedded"
EX_CONFIG = 78
LAST_SECONDS = 2.0


def main() -> int:
    """Run the owner's jobs until the owner ends."""
    shutdown = Shutdown()
    shutdown.listen()
    line = sys.stdin.buffer.readline()
    if not line:
        return 0  # the owner's life was shorter than this
    letter = msgspec.json.decode(line, type=Letter)
    leash = _taken_input()
    try:
        installation = load(letter)
    except (Exception, SystemExit) as error:
        _complain(letter, error)
        return EX_CONFIG
    return work(installation, letter.address, leash, shutdown)


def _taken_input() -> int:
    """The standard input under another number; jobs and what they start find an empty one."""
    leash = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return leash


def work(installation: Installation, address: Address, leash: int, shutdown: Shutdown) -> int:
    """Run jobs as the only embedded worker of the store; hand over when the owner ends."""
    log_to_stderr(installation.app)
    worker = Worker(
        installation,
        role=ROLE,
        leash=leash,
        address=address,
        watchdog=Watchdog(installation.settings.hang),
    )
    shutdown.guard(worker, installation.settings.grace)
    return end_of(worker, installation)


def end_of(worker: Worker, installation: Installation) -> int:
    """Run the worker to its end; gives back the process's exit code.

    Then the process ends soon, even if jobs that were handed back go on in threads, or in
    threads of their own.
    """
    handed_back = worker.run()
    installation.store.close()
    status = 1 if handed_back else 0
    end = threading.Timer(LAST_SECONDS, os._exit, (status,))
    end.daemon = True
    end.start()
    return status


def _complain(letter: Letter, error: BaseException) -> None:
    print(
        f"The embedded worker cannot load the app {letter.address.text!r}: {error} {HOW_TO_TELL}",
        file=sys.stderr,
    )
    traceback.print_exception(error)
