"""The embedded worker: a process that a web process starts, and that ends with it.

The first line on its standard input is a letter that says which app to load; the end of the
input means that its owner is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType

import msgspec
from flask import Flask
from flask.cli import ScriptInfo

from ...errors import BackburnerError
from ...installation import Installation
from .worker import Worker

ROLE = "embedded"
EX_CONFIG = 78
WAIT_FOR_ROLE = 0.05


class Letter(msgspec.Struct, frozen=True):
    """What a web process tells its child: the app, and how to be sure that it is the same."""

    address: str
    store: str
    name: str


class WrongApp(BackburnerError):
    """The address leads to no app, or to another one."""


def main() -> int:
    """Run the owner's jobs until the owner ends."""
    letter = msgspec.json.decode(sys.stdin.buffer.readline(), type=Letter)
    log_to_stderr()
    try:
        installation = load(letter)
    except Exception as error:
        _complain(letter, error)
        return EX_CONFIG
    return work(installation)


def load(letter: Letter) -> Installation:
    """The installation of the app in the letter. Raises ``WrongApp`` if it is not the owner's."""
    # A script that calls app.run() outside `if __name__ == "__main__"` must not start a server.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    app = ScriptInfo(letter.address, set_debug_flag=False).load_app()
    installation = installation_of(app)
    found = (installation.settings.path, installation.settings.name)
    if found != (letter.store, letter.name):
        raise WrongApp(
            f"It has the store {found[0]} and the name {found[1]!r}, but the web process has "
            f"{letter.store} and {letter.name!r}."
        )
    return installation


def installation_of(app: Flask) -> Installation:
    """The app's installation. Raises ``WrongApp`` if it has none."""
    try:
        extension = app.extensions["backburner"]
    except KeyError:
        raise WrongApp("It does not use Flask-Backburner: init_app was not called.") from None
    found = extension.installation(app)
    assert isinstance(found, Installation)
    return found


def work(installation: Installation) -> int:
    """Run jobs as the only embedded worker of the store; hand over when the owner ends."""
    grace = installation.settings.grace
    # The role goes as soon as this worker claims no more: the next one need not wait for the
    # jobs that still run here.
    worker = Worker(installation, drained=lambda: installation.store.resign(ROLE))
    ended = threading.Event()

    def end() -> None:
        ended.set()
        worker.stop(grace)

    def on_signal(number: int, frame: FrameType | None) -> None:
        end()

    signal.signal(signal.SIGTERM, on_signal)
    threading.Thread(target=_watch_owner, args=(end,), daemon=True).start()
    while not installation.store.elect(ROLE):
        if ended.wait(WAIT_FOR_ROLE):
            return 0
    handed_back = worker.run()
    installation.store.close()
    return 1 if handed_back else 0


def _watch_owner(end: Callable[[], None]) -> None:
    sys.stdin.buffer.read()
    end()


def log_to_stderr() -> None:
    """What jobs log at level INFO and above, as a worker of its own shows it."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def _complain(letter: Letter, error: Exception) -> None:
    print(
        f"The embedded worker cannot load the app {letter.address!r}: {error} "
        "Set BACKBURNER_APP to its import string, such as 'shop:app' or 'shop:create_app()'.",
        file=sys.stderr,
    )
    traceback.print_exception(error)
