"""Letter: which app another process is to load, and how that is done."""

from __future__ import annotations

import logging
import os
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

import msgspec
from flask import Flask
from flask.cli import ScriptInfo, locate_app
from flask.logging import default_handler

from ...errors import BackburnerError
from ...installation import Installation
from ...signals import app_loaded
from .address import Address, note_address

HOW_TO_TELL = (
    "Set BACKBURNER_APP to its import string, such as 'shop:app' or 'shop:create_app()'; "
    'an app made under `if __name__ == "__main__"` has none: make it at the top of the '
    "module."
)


class Letter(msgspec.Struct, frozen=True):
    """What a process tells another: the app, and how to be sure that it is the same."""

    address: Address
    store: str
    name: str


def letter_about(installation: Installation, address: Address) -> Letter:
    """The letter that leads another process to this installation's app."""
    return Letter(address, installation.settings.place, installation.settings.name)


class WrongApp(BackburnerError):
    """The address leads to no app, or to another one."""


def load(letter: Letter) -> Installation:
    """The installation of the app in the letter. Raises ``WrongApp`` if it is not the sender's."""
    # A script that calls app.run() outside `if __name__ == "__main__"` must not start a server.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    installation = installation_of(_load_app(letter.address))
    found = (installation.settings.place, installation.settings.name)
    if found != (letter.store, letter.name):
        raise WrongApp(
            f"It has the store {found[0]} and the name {found[1]!r}, but the process that started "
            f"it has {letter.store} and {letter.name!r}."
        )
    note_address(installation.app, letter.address)
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
    app_loaded.send(app)
    try:
        extension = app.extensions["backburner"]
    except KeyError:
        raise WrongApp("It does not use Flask-Backburner: init_app was not called.") from None
    found = extension.installation(app)
    assert isinstance(found, Installation)
    return found


def log_to_stderr(app: Flask) -> None:
    """What jobs log at level INFO and above, unless the app has set up logging otherwise."""
    if logging.getLogger().hasHandlers():
        return
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    app.logger.removeHandler(default_handler)  # or each line would be there twice
