"""Owner: the thread of a web process that keeps the machine's embedded worker running."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable

import msgspec

from ...errors import StoreError
from ...installation import Installation
from .child import EX_CONFIG, Letter

ROLE = "owner"
TRY_AGAIN = 0.25
LOOK = 0.1
SHORT_LIFE = 5.0
LONGEST_PAUSE = 10.0

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from flask_backburner.engine.local.child import main; sys.exit(main())"
)


class Owner:
    """Starts the embedded worker if no other web process of the machine has, and restarts it.

    Runs in a thread that lives as long as its process. When the process ends, however it ends,
    the kernel closes the child's standard input, and the child hands over.
    """

    def __init__(
        self, installation: Installation, address: str, unloadable: Callable[[], None]
    ) -> None:
        """``unloadable`` is called, in the thread, when no child can load the app."""
        self._installation = installation
        self._address = address
        self._unloadable = unloadable
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="backburner-owner", daemon=True)
        _owners.add(self)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        logger = self._installation.app.logger
        while not self._stopping.is_set():
            try:
                if self._installation.store.elect(ROLE):
                    self._keep_child()
            except StoreError as error:
                logger.error("The embedded worker waits for its store: %s", error)
            self._stopping.wait(TRY_AGAIN)

    def _keep_child(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            status, lived = self._one_life()
            if status == EX_CONFIG:
                self._give_up()
                return
            pause = 0.0 if lived > SHORT_LIFE else min(LONGEST_PAUSE, 2 * pause or LOOK)

    def _one_life(self) -> tuple[int, float]:
        """Start a child and stay with it; gives back how it ended and how long it lived."""
        child = self._child = self._spawn()
        lived = 0.0
        while child.poll() is None and not self._stopping.wait(LOOK):
            lived += LOOK
        return child.poll() or 0, lived

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = self._installation.settings
        letter = Letter(self._address, settings.path, settings.name)
        child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *sys.path],
            stdin=subprocess.PIPE,
            # Not in the terminal's group: Ctrl-C is the owner's, which then hands over.
            start_new_session=True,
        )
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(letter) + b"\n")
        child.stdin.flush()
        return child

    def _give_up(self) -> None:
        self._stopping.set()
        self._installation.store.resign(ROLE)
        self._unloadable()

    def stop(self, patience: float) -> None:
        """End the child by ending its input; wait for both. Repeatable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        child, self._child = self._child, None
        if child is not None:
            assert child.stdin is not None
            child.stdin.close()
            child.wait(patience)
        self._installation.store.resign(ROLE)

    def forget(self) -> None:
        """In a forked child: close the pipe, or the worker would not notice its owner's end."""
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            child.stdin.close()
            child.returncode = 0  # not this process's child: nothing to wait for


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for owner in list(_owners):
        owner.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
