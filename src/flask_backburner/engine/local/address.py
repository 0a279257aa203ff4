"""Where another process finds the app: an import string such as ``shop:create_app()``."""

from __future__ import annotations

import os
import sys
import weakref
from types import FrameType, ModuleType
from typing import Any

import click
from flask import Flask
from flask.cli import ScriptInfo
from msgspec import Struct

from ...submission import main_name


class Address(Struct, frozen=True):
    """An import string; one that somebody told is read as the ``flask`` command reads it.

    That is, from the current folder and as part of the package around it; others are names
    that ``import`` knows. ``script`` is the file that was started, if the app is in that.
    """

    text: str
    told: bool
    script: str | None = None


def command_line_address() -> str | None:
    """The app that the running ``flask`` command was told to load, or found by itself.

    Known only while the command loads the app, so ask in ``init_app``.
    """
    context = click.get_current_context(silent=True)
    info = context.find_object(ScriptInfo) if context else None
    if info is None or info.create_app is not None:
        return None
    if info.app_import_path:
        return info.app_import_path
    return next((file for file in ("wsgi.py", "app.py") if os.path.exists(file)), None)


_led_to: weakref.WeakKeyDictionary[Flask, Address] = weakref.WeakKeyDictionary()


def note_address(app: Flask, address: Address) -> None:
    """Remember that the address has led this process to the app."""
    _led_to[app] = address


def find_address(app: Flask, told: str | None) -> Address | None:
    """The app's import string; ``told`` is what configuration or command line say.

    To be asked in a request, because the server's own knowledge is in the calls that lead to
    it.
    """
    if app in _led_to:
        return _led_to[app]
    if told:
        return Address(told, told=True)
    served = _of_gunicorn()
    if served:
        return Address(served, told=False)
    variable = os.environ.get("FLASK_APP")
    if variable:
        return Address(variable, told=True)
    script = _of_script(app)
    if script:
        return Address(script, told=False, script=_script_file())
    found = _of_module(app)
    return Address(found, told=False) if found else None


def _of_gunicorn() -> str | None:
    """gunicorn's worker is among the callers of every request; its app knows the address."""
    base = sys.modules.get("gunicorn.workers.base")
    if base is None:
        return None
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        worker: Any = frame.f_locals.get("self")
        if isinstance(worker, base.Worker):
            return getattr(getattr(worker, "app", None), "app_uri", None)
        frame = frame.f_back
    return None


def _of_script(app: Flask) -> str | None:
    module, name = main_name(), _attribute(sys.modules["__main__"], app)
    return f"{module}:{name}" if name and module != "__main__" else None


def _script_file() -> str | None:
    """The file of ``python file.py``; none for ``python -m module``."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    return None if getattr(main, "__spec__", None) or file is None else os.path.abspath(file)


def _of_module(app: Flask) -> str | None:
    """The module attribute that is the app, first where the app says that it was made."""
    names = [app.import_name, *(name for name in list(sys.modules) if name != "__main__")]
    for module in names:
        name = _attribute(sys.modules.get(module), app)
        if name is not None:
            return f"{module}:{name}"
    return None


def _attribute(module: ModuleType | None, app: Flask) -> str | None:
    contents: dict[str, Any] = getattr(module, "__dict__", {})
    return next((name for name, value in list(contents.items()) if value is app), None)
