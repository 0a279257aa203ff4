"""Installation: what one app has of Flask-Backburner, put together when first needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Protocol
from urllib.parse import quote

from blinker import NamedSignal
from flask import Flask, current_app, has_app_context, has_request_context, request

from .backoff import Backoff, Delays
from .clock import Clock
from .codec import Signature
from .engine.base import Engine
from .errors import BackburnerError, ConfigError, StoreError
from .files import FileFolder
from .live.waits import Live
from .options import Errors, OnCrash
from .ownership import Ownership
from .settings import Settings, read_settings
from .signals import tell
from .store.base import Store
from .store.location import check_location
from .store.redis import RedisStore
from .store.sqlite import SQLiteStore
from .submission import PREFIX


class Definition(Protocol):
    """What running a task takes."""

    @property
    def name(self) -> str: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def function(self) -> Callable[..., Any]: ...
    @property
    def is_async(self) -> bool: ...
    @property
    def retries(self) -> int: ...
    @property
    def backoff(self) -> Backoff | Delays: ...
    @property
    def retry_on(self) -> Errors: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def process(self) -> bool: ...
    @property
    def expires(self) -> float | None: ...
    @property
    def on_crash(self) -> OnCrash: ...


class Installation:
    """One app's settings, tasks, store and engine.

    The store is opened when first used, never at import or in ``init_app``.
    """

    def __init__(
        self,
        app: Flask,
        settings: Settings,
        tasks: Mapping[str, Definition],
        adopt: Callable[[Installation, str], Definition],
        ownership: Ownership,
        make_engine: Callable[[Installation], Engine],
    ) -> None:
        """``adopt`` finds the function of a submitted job, which was never decorated."""
        self.app = app
        self.settings = self._configured = settings
        self.tasks = tasks
        self.ownership = ownership
        self.files = FileFolder(settings.files)
        self.clock = Clock()
        self._adopt = adopt
        self.engine = make_engine(self)
        self.live = Live(
            lambda: self.store, max_streams=settings.max_streams, max_wait=settings.max_wait
        )
        self._store: Store | None = None
        self._parents: Store | None = None
        self._opening = threading.Lock()

    @property
    def store(self) -> Store:
        """Where the app's jobs live. Raises ``StoreError`` if that place cannot be used."""
        if self._store is None:
            with self._opening:
                self._store = self._store or self._open()
        return self._store

    def _open(self) -> Store:
        if read_settings(self.app) != self._configured:
            raise ConfigError(
                "BACKBURNER_*",
                f"The BACKBURNER_* configuration of the app {self.app.name!r} was changed after "
                "init_app, which had read it. Set it before init_app is called.",
            )
        return self._open_file() if self.settings.redis is None else self._open_redis()

    def _open_redis(self) -> Store:
        assert self.settings.redis is not None
        return RedisStore(
            self.settings.redis,
            self.settings.name,
            keeping=self.settings.keeping,
            clock=self.clock,
        )

    def _open_file(self) -> Store:
        path = self.settings.path
        folder = os.path.dirname(path)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder {folder} for the job store cannot be made: {error}. Make it, or set "
                "BACKBURNER_URL to a file in a folder that can be written."
            ) from error
        check_location(path, allow_network=self.settings.network_fs)
        return SQLiteStore(
            path,
            self.settings.name,
            durable=self.settings.durability == "full",
            keeping=self.settings.keeping,
            clock=self.clock,
        )

    def definition(self, task: str) -> Definition | None:
        """What runs jobs of this task; ``None`` for one that this process does not know.

        Raises ``DefinitionError`` for a submitted function that is not there, or not allowed.
        """
        known = self.tasks.get(task)
        if known is None and task.startswith(PREFIX):
            return self._adopt(self, task)
        return known

    def known_tasks(self) -> list[str]:
        """The tasks that a worker of this app may claim."""
        return [*self.tasks, PREFIX + "*"]

    def base(self) -> str | None:
        """The path below which jobs have their addresses; ``None`` if there are no routes."""
        prefix = self.settings.url_prefix
        if prefix is None:
            return None
        root = request.script_root if has_request_context() else self.app.config["APPLICATION_ROOT"]
        return quote(root.rstrip("/")) + prefix

    def tell(self, signal: NamedSignal, job: object) -> None:
        """Send a signal about a job, in an app context also where the caller has none."""
        if signal.receivers:
            with nullcontext() if _current_app() is self.app else self.app.app_context():
                tell(signal, self.app, job)

    def forget_store(self) -> None:
        """In a forked child: have a store of its own, and none of the parent's locks."""
        self._opening = threading.Lock()
        # Kept, lest its end close what the parent still uses.
        self._parents, self._store = self._store, None

    def close(self) -> None:
        """End streams and engine, give the store back. Repeatable; a later use opens it again."""
        self.live.close()
        self.engine.stop(self.settings.grace)
        with self._opening:
            store, self._store = self._store, None
        # A request may have started it again, on the store that is now to be closed.
        self.engine.stop(self.settings.grace)
        if store:
            store.close()


def _current_app() -> Flask | None:
    if not has_app_context():
        return None
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # a proxy's method
    return app


def installed(installations: Mapping[Flask, Installation], owner: str) -> Installation:
    """The installation that the caller means: that of the current app, else the only one."""
    app = _current_app()
    if app is not None:
        if app in installations:
            return installations[app]
        raise BackburnerError(
            f"{owner} is used in the app {app.name!r}, for which init_app was not called. "
            "Call tasks.init_app(app) where that app is made."
        )
    if len(installations) == 1:
        return next(iter(installations.values()))
    if not installations:
        raise BackburnerError(
            f"{owner} is used before there is an app. Call tasks.init_app(app) first."
        )
    raise BackburnerError(
        f"{owner} is used outside an app context while there are {len(installations)} apps. "
        "Use it inside `with app.app_context():` of the one that is meant."
    )
