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
from importlib.machinery import SourceFileLoader
from types import FrameType, ModuleType

import msgspec
from flask import Flask
from flask.cli import ScriptInfo, locate_app
from flask.logging import default_handler

from ...errors import BackburnerError
from ...installation import Installation
from .address import Address
from .worker import Worker

ROLE = "embedded"
EX_CONFIG = 78
LAST_SECONDS = 2.0


class Letter(msgspec.Struct, frozen=True):
    """What a web process tells its child: the app, and how to be sure that it is the same."""

    address: Address
    store: str
    name: str


class WrongApp(BackburnerError):
    """The address leads to no app, or to another one."""


def main() -> int:
    """Run the owner's jobs until the owner ends."""
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
    return work(installation, leash)


def _taken_input() -> int:
    """The standard input under another number; jobs and what they start find an empty one."""
    leash = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return leash


def load(letter: Letter) -> Installation:
    """The installation of the app in the letter. Raises ``WrongApp`` if it is not the owner's."""
    # A script that calls app.run() outside `if __name__ == "__main__"` must not start a server.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    installation = installation_of(_load_app(letter.address))
    found = (installation.settings.place, installation.settings.name)
    if found != (letter.store, letter.name):
        raise WrongApp(
            f"It has the store {found[0]} and the name {found[1]!r}, but the web process has "
            f"{letter.store} and {letter.name!r}."
        )
    return installation


def _load_app(address: Address) -> Flask:
    if address.told:
        return ScriptInfo(address.text, set_debug_flag=False).load_app()
    module, _, name = address.text.partition(":")
    if address.script:
        _import_script(module, address.script)
    return locate_app(module, name or None)


def _import_script(name: str, path: str) -> None:
    """Import a script as a module without a spec, like the ``__main__`` that it is elsewhere.

    By the spec Flask would find another instance folder than in the web process.
    """
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = path
    SourceFileLoader(name, path).exec_module(module)


def installation_of(app: Flask) -> Installation:
    """The app's installation. Raises ``WrongApp`` if it has none."""
    try:
        extension = app.extensions["backburner"]
    except KeyError:
        raise WrongApp("It does not use Flask-Backburner: init_app was not called.") from None
    found = extension.installation(app)
    assert isinstance(found, Installation)
    return found


def work(installation: Installation, leash: int) -> int:
    """Run jobs as the only embedded worker of the store; hand over when the owner ends."""
    log_to_stderr(installation.app)
    worker = Worker(installation, role=ROLE, leash=leash)

    def stop(number: int, frame: FrameType | None) -> None:
        worker.stop(installation.settings.grace)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
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


def log_to_stderr(app: Flask) -> None:
    """What jobs log at level INFO and above, unless the app has set up logging otherwise."""
    if logging.getLogger().hasHandlers():
        return
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    app.logger.removeHandler(default_handler)  # or each line would be there twice


def _complain(letter: Letter, error: BaseException) -> None:
    print(
        f"The embedded worker cannot load the app {letter.address.text!r}: {error} "
        "Set BACKBURNER_APP to its import string, such as 'shop:app' or 'shop:create_app()'; "
        'an app made under `if __name__ == "__main__"` has none: make it at the top of the '
        "module.",
        file=sys.stderr,
    )
    traceback.print_exception(error)
