"""Client: a Celery object, as far as it finds the Flask apps that its jobs belong to.

Celery knows no Flask app, and tutorials tie the two together in many ways. So nobody says it
here either: when an app's first context is pushed, which is when its first request comes at the
latest, the Celery objects that belong to it give it a Backburner, or use the one it has.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any
from weakref import WeakSet, ref

from flask import Flask, current_app, has_app_context
from flask.signals import appcontext_pushed

from ..engine.local.address import command_line_address
from ..errors import BackburnerError
from ..extension import NAME, Backburner
from ..installation import Installation
from ..signals import app_loaded
from ..task import Task as Definition
from .configuration import Conf

logger = logging.getLogger("flask_backburner")

_lock = threading.RLock()
_clients: list[ref[Client]] = []
_default: ref[Client] | None = None
_bound: WeakSet[Flask] = WeakSet()
"""Apps to which all clients that there are have been bound."""


class Client(ABC):
    """A Celery object. It belongs to the Flask apps that there are clues of, else to every one.

    One that is a ``last_resort`` is meant only where there is no other.
    """

    last_resort = False

    def __init__(self, main: str | None) -> None:
        self.main = main
        self.conf = Conf()
        self._apps: WeakSet[Flask] = WeakSet()
        self._address = command_line_address()  # known only while the command loads the app
        with _lock:
            _clients.append(ref(self))
            _bound.clear()

    @abstractmethod
    def definitions(self) -> Iterable[Definition[..., Any]]:
        """What its tasks are to a Backburner."""

    @abstractmethod
    def task_classes(self) -> Iterable[type]:
        """The classes of its tasks, whose code may name an app."""

    @abstractmethod
    def modules(self) -> Iterable[str]:
        """The modules that a worker has to import."""

    def fits(self, app: Flask) -> bool | None:
        """Whether it belongs to this app; ``None`` where nothing tells."""
        if app.extensions.get("celery") is self:
            return True
        named = set(self._apps_in_code())
        if named:
            return app in named
        if any(_is_of(app, source) for source in self.conf.sources):
            return True
        if any(isinstance(source, type(app.config)) for source in self.conf.sources):
            return False
        return True if self.main in (app.name, app.import_name) else None

    def _apps_in_code(self) -> Iterator[Flask]:
        """Those that are used by what a task class does when it is called."""
        for kind in self.task_classes():
            call = inspect.getattr_static(kind, "__call__", None)
            if inspect.isfunction(call):
                found = inspect.getclosurevars(call)
                for value in [*found.nonlocals.values(), *found.globals.values()]:
                    if issubclass(type(value), Flask):  # which the proxy of any app is not
                        yield value

    def installation(self, owner: str) -> Installation:
        """What the app that is meant has of Flask-Backburner; ``owner`` is who asks."""
        app = self._app(owner)
        self.bind(app, owner)
        backburner: Backburner = app.extensions[NAME]
        return backburner.installation(app)

    def _app(self, owner: str) -> Flask:
        app = app_here()
        if app is not None and (app in self._apps or self.fits(app) is not False):
            return app
        found = list(self._apps) or list(self._apps_in_sight())
        if len(found) == 1:
            return found[0]
        raise BackburnerError(
            f"{owner} is used outside an app context, and "
            + (f"{len(found)} Flask apps use it" if found else "no Flask app is known that uses it")
            + ". Use it inside `with app.app_context():` of the one that is meant."
        )

    def _apps_in_sight(self) -> set[Flask]:
        """The apps that are named by its tasks, else those in modules that it may belong to."""
        named = set(self._apps_in_code())
        if named:
            return named
        values = [value for module in list(sys.modules.values()) for value in _contents(module)]
        apps = {value for value in values if issubclass(type(value), Flask)}
        fitting = {app: self.fits(app) for app in apps}
        certain = {app for app, fits in fitting.items() if fits}
        return certain or {app for app, fits in fitting.items() if fits is None}

    def bind(self, app: Flask, owner: str) -> None:
        """Make its tasks those of the app, which gets a Backburner if it has none. Repeatable.

        Raises ``BackburnerError`` when it is too late for that.
        """
        if app in self._apps:
            return
        with _lock:
            if app not in self._apps:
                self._install(app, owner)
                for definition in self.definitions():
                    app.extensions[NAME]._add(definition)
                self._apps.add(app)

    def _install(self, app: Flask, owner: str) -> None:
        if NAME in app.extensions:
            return
        if app._got_first_request:
            raise BackburnerError(
                f"{owner} is used in the app {app.name!r}, which has answered requests before the "
                "Celery object was there. Import the module that makes it where the app is made, "
                "or write `Backburner(app)` there."
            )
        if self._address is not None:
            app.config.setdefault("BACKBURNER_APP", self._address)
        app.before_request(self.import_modules)  # before what may start a worker here
        Backburner(app)
        self._say_where(app)

    def _say_where(self, app: Flask) -> None:
        """The addresses for Celery choose nothing here, which must not pass silently."""
        given = [key for key in ("broker_url", "result_backend") if self.conf[key]]
        if given and "BACKBURNER_URL" not in app.config:
            logger.warning(
                "The %s of Celery %s not used: the jobs of the app %r are in a file on this "
                "machine and need no server. Set BACKBURNER_URL to say so, or to keep them in "
                "Redis.",
                " and the ".join(given),
                "is" if len(given) == 1 else "are",
                app.name,
            )

    def added(self, definition: Definition[..., Any]) -> None:
        """Give a new task to the apps that it is bound to already."""
        for app in list(self._apps):
            app.extensions[NAME]._add(definition)

    def import_modules(self) -> None:
        """Import those that define its tasks, as a worker does that has to know them all."""
        for module in self.modules():
            import_module(module)


def _is_of(app: Flask, source: object) -> bool:
    """Whether it is the app's configuration, or a part of it such as ``app.config["CELERY"]``."""
    parts = [value for value in app.config.values() if isinstance(value, Mapping)]
    return any(source is part for part in [app.config, *parts])


def _contents(module: Any) -> list[Any]:
    return list(getattr(module, "__dict__", {}).values())


def app_here() -> Flask | None:
    """The app whose context this is."""
    if not has_app_context():
        return None
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # a proxy's method
    return app


def clients() -> list[Client]:
    """All that are alive, in the order in which they were made, after the last resort."""
    with _lock:
        alive = [(each, client) for each in _clients if (client := each()) is not None]
        _clients[:] = [each for each, _ in alive]
    return sorted((client for _, client in alive), key=lambda client: not client.last_resort)


def clients_of(app: Flask) -> list[Client]:
    """Those that belong to the app, the surest last, and of those the newest."""
    fitting = [(client.fits(app), client) for client in clients()]
    perhaps = [client for fits, client in fitting if fits is None]
    return [*perhaps, *(client for fits, client in fitting if fits)]


def client_here() -> Client | None:
    """The one that is meant where none is named: the app's, the default one, or the newest."""
    app = app_here()
    if app is not None:
        own = app.extensions.get("celery")
        found = [own] if isinstance(own, Client) else clients_of(app)
        if found:
            return found[-1]
    default = _default() if _default is not None else None
    return default or next(reversed(clients()), None)


def make_default(client: Client) -> None:
    """Let this be the one that is meant outside of apps."""
    global _default
    _default = ref(client)


def _bind_all(app: Flask) -> None:
    """At the latest moment at which an app can still be given what Backburner registers."""
    if app in _bound:
        return
    with _lock:
        if NAME in app.extensions or not app._got_first_request:
            for client in clients_of(app):
                client.bind(app, repr(client))
        _bound.add(app)


def _bind_for_worker(app: Flask) -> None:
    """A worker, or a command, has loaded the app and looks for its Backburner."""
    _bind_all(app)
    for client in clients_of(app):
        client.import_modules()


appcontext_pushed.connect(_bind_all)
app_loaded.connect(_bind_for_worker)
