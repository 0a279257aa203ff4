"""Owner: the thread of a web process that keeps the machine's embedded worker running."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable

import msgspec

from ...installation import Installation
from ...store.base import Store
from ...trouble import Trouble
from .address import Address
from .child import EX_CONFIG
from .letter import letter_about

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

    Runs in a thread that lives as long as its process. The child is on a leash: a pipe whose
    other end nobody but this process holds. When the process ends, however it ends, the kernel
    closes it, and the child hands over.
    """

    def __init__(
        self, installation: Installation, address: Address, unloadable: Callable[[], None]
    ) -> None:
        """``unloadable`` is called, in the thread, when no child can load the app."""
        self._installation = installation
        self._address = address
        self._unloadable = unloadable
        self._trouble = Trouble("The embedded worker")
        self._stopping = threading.Event()
        self._store: Store | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._leash: int | None = None
        self._thread = threading.Thread(target=self._run, name="backburner-owner", daemon=True)
        _owners.add(self)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                # Its own from now on: the installation may be closed and have another later.
                self._store = self._store or self._installation.store
                if self._store.elect(ROLE):
                    self._trouble.over()
                    self._keep_child()
            except Exception as error:
                self._trouble.tell(error)
            self._stopping.wait(TRY_AGAIN)

    def _keep_child(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            born_at = time.monotonic()
            status = self._one_life()
            if status == EX_CONFIG:
                self._give_up()
                return
            lived = time.monotonic() - born_at
            pause = 0.0 if lived > SHORT_LIFE else min(LONGEST_PAUSE, 2 * pause or LOOK)
            if not self._stopping.is_set():
                self._installation.app.logger.log(
                    logging.WARNING if status else logging.INFO,
                    "The embedded worker ended with status %d after %.1f s; another is started",
                    status,
                    lived,
                )

    def _one_life(self) -> int:
        """Start a child and stay with it; gives back how it ended."""
        try:
            child = self._child = self._spawn()
            while child.poll() is None and not self._stopping.wait(LOOK):
                pass
        finally:
            self._let_go()
        return child.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        letter = letter_about(self._installation, self._address)
        with _forking:
            end, self._leash = os.pipe()
        try:
            os.write(self._leash, msgspec.json.encode(letter) + b"\n")
            return subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *sys.path],
                stdin=end,
                # Not in the terminal's group: Ctrl-C is the owner's, which then hands over.
                start_new_session=True,
            )
        finally:
            os.close(end)

    def _let_go(self) -> None:
        leash, self._leash = self._leash, None
        if leash is not None:
            os.close(leash)

    def _give_up(self) -> None:
        self._stopping.set()
        self._resign()
        self._unloadable()

    def _resign(self) -> None:
        if self._store is not None:
            self._store.resign(ROLE)

    def stop(self, patience: float) -> None:
        """Let go of the child and wait for its end, which comes at last. Repeatable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        if self._child is not None and self._thread.is_alive():
            self._child.kill()
            self._thread.join()
        self._resign()

    def forget(self) -> None:
        """In a forked child: let go, or the worker would not notice its owner's end."""
        self._let_go()
        if self._child is not None:
            self._child.returncode = 0  # not this process's child: nothing to wait for


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()
# Held while a leash is made, so that no fork comes before it is known to be one.
_forking = threading.Lock()


def _after_fork_in_child() -> None:
    _forking.release()
    for owner in list(_owners):
        owner.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_forking.acquire,
        after_in_parent=_forking.release,
        after_in_child=_after_fork_in_child,
    )
