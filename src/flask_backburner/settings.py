"""Settings: an app's ``BACKBURNER_*`` configuration, checked at ``init_app``."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import SplitResult, quote, urlsplit

from flask import Flask
from msgspec import Struct

from .codec import Limits
from .errors import ConfigError
from .store.base import Keeping

PREFIX = "BACKBURNER_"
SQLITE = "sqlite:///"
REDIS = ("redis", "rediss")
BROKERS = (*REDIS, "amqp", "amqps")
MOST_SECONDS = 1e9
_PATH = re.compile(r"[^?#\0]+")
_URL_PATH = re.compile(r"(/[^/<>?#\s]+)+/?")


class Settings(Struct, frozen=True, kw_only=True):
    """What an app's configuration says; times are in seconds.

    The store is the file at ``path``, unless ``redis`` is the URL of another. ``broker`` is
    Celery's, none for the local engine.
    """

    path: str
    redis: str | None
    engine: Literal["local", "celery"]
    broker: str | None
    name: str
    worker: Literal["auto", "process", "threads", "external"]
    app: str | None
    threads: int
    processes: int
    process_memory: int | None
    process_jobs: int
    queues: frozenset[str] | None
    durability: Literal["full", "normal"]
    grace: float
    poll: float
    hang: float
    network_fs: bool
    max_queued: int
    url_prefix: str | None
    limits: Limits
    keeping: Keeping
    files: str
    submit: tuple[str, ...]
    max_streams: int | None
    max_wait: float

    @property
    def place(self) -> str:
        """Where the store is, in words for people and to be compared; without a password."""
        return self.path if self.redis is None else without_password(self.redis)


class Key(Struct, frozen=True):
    """A configuration key: its default, and what reads (and refuses) its value."""

    default: Any
    read: Callable[[str, Any], Any]


def _refuse(key: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(key, f"{key} is {value!r}, but must be {allowed}. Change app.config.")


def _one_of(*allowed: str) -> Callable[[str, Any], str]:
    words = " or ".join(repr(each) for each in allowed)

    def read(key: str, value: Any) -> str:
        if value not in allowed:
            raise _refuse(key, value, words)
        return str(value)

    return read


def _whole(least: int) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        if type(value) is not int or value < least:
            raise _refuse(key, value, f"a whole number of at least {least}")
        return value

    return read


def _whole_or_none(least: int) -> Callable[[str, Any], int | None]:
    read = _whole(least)
    return lambda key, value: None if value is None else read(key, value)


def _duration(least: float) -> Callable[[str, Any], float]:
    def read(key: str, value: Any) -> float:
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise _refuse(key, value, "a number of seconds or a timedelta")
        if not least <= seconds <= MOST_SECONDS:
            raise _refuse(key, value, f"from {least:g} to {MOST_SECONDS:g} seconds")
        return float(seconds)

    return read


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(key, value, "True or False")
    return value


def _text(key: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise _refuse(key, value, "a text that is not empty")
    return value


def read_queues(key: str, value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple, set, frozenset)) or not names:
        raise _refuse(
            key, value, "a list of at least one queue name, or a text of them with commas between"
        )
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise _refuse(key, value, "a list of queue names, none of them empty")
    return frozenset(name.strip() for name in names)


def _modules(key: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(
        isinstance(name, str) and all(part.isidentifier() for part in name.strip().split("."))
        for name in names
    ):
        raise _refuse(key, value, "a list of module names such as ['shop', 'lib.reports']")
    return tuple(name.strip() for name in names)


def _streams(key: str, value: Any) -> int | None:
    if value == "auto":
        return None
    if type(value) is not int or value < 0:
        raise _refuse(key, value, "'auto' or a whole number of at least 0")
    return value


def _url_prefix(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _URL_PATH.fullmatch(value):
        raise _refuse(key, value, "a path such as '/jobs', or None for no routes")
    return value.rstrip("/")


_FILES = (
    "'sqlite:///file.db' (a file in the instance folder), 'sqlite:////folder/file.db' or "
    "'redis://host:6379/0' (a port up to 65535, and the number of a database)"
)


def _url(key: str, value: Any) -> str:
    if _server(value, REDIS):
        return str(value)
    path = value.removeprefix(SQLITE) if isinstance(value, str) else value
    if path == ":memory:":
        raise _refuse(key, value, f"{_FILES}: a store in memory cannot be shared with a worker")
    if path == value or not path or path.endswith("/") or not _PATH.fullmatch(path):
        raise _refuse(key, _shown(value), _FILES)
    return str(value)


def _broker_url(key: str, value: Any) -> str | None:
    if value is None or _server(value, BROKERS):
        return None if value is None else str(value)
    raise _refuse(
        key,
        _shown(value),
        "'redis://host:6379/0' or 'amqp://user:password@host:5672//', with a port up to 65535",
    )


def _server(value: Any, schemes: tuple[str, ...]) -> bool:
    """Whether it is the URL of a server; of Redis, with the number of a database or without."""
    parts = _parts(value)
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        return False
    return parts.scheme not in REDIS or re.fullmatch(r"/?|/\d+", parts.path) is not None


def _parts(value: Any) -> SplitResult | None:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        _ = parts and parts.port  # looked at only when asked for
    except ValueError:
        return None
    return parts


def without_password(url: str) -> str:
    """The URL as it may be logged."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(
        netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"
    ).geturl()


def _shown(value: Any) -> Any:
    return value if _parts(value) is None else without_password(value)


KEYS: Mapping[str, Key] = {
    "BACKBURNER_URL": Key("sqlite:///backburner.db", _url),
    "BACKBURNER_ENGINE": Key("auto", _one_of("auto", "local", "celery")),
    "BACKBURNER_BROKER_URL": Key(None, _broker_url),
    "BACKBURNER_NAME": Key(None, _text),
    "BACKBURNER_WORKER": Key("auto", _one_of("auto", "process", "threads", "external")),
    "BACKBURNER_APP": Key(None, _text),
    "BACKBURNER_THREADS": Key(4, _whole(1)),
    "BACKBURNER_PROCESSES": Key(None, _whole_or_none(1)),
    "BACKBURNER_PROCESS_MEMORY": Key(None, _whole_or_none(16 << 20)),
    "BACKBURNER_PROCESS_JOBS": Key(500, _whole(1)),
    "BACKBURNER_QUEUES": Key(None, read_queues),
    "BACKBURNER_DURABILITY": Key("full", _one_of("full", "normal")),
    "BACKBURNER_GRACE": Key(25.0, _duration(0.0)),
    "BACKBURNER_POLL": Key(0.1, _duration(0.001)),
    "BACKBURNER_HANG": Key(300.0, _duration(1.0)),
    "BACKBURNER_NETWORK_FS": Key(False, _flag),
    "BACKBURNER_MAX_QUEUED": Key(100_000, _whole(1)),
    "BACKBURNER_URL_PREFIX": Key("/jobs", _url_prefix),
    "BACKBURNER_MAX_ARGS_BYTES": Key(256 << 10, _whole(2)),
    "BACKBURNER_MAX_RESULT_BYTES": Key(1 << 20, _whole(2)),
    "BACKBURNER_MAX_NESTING": Key(64, _whole(1)),
    "BACKBURNER_KEEP": Key(7 * 86400.0, _duration(0.0)),
    "BACKBURNER_KEEP_FAILED": Key(30 * 86400.0, _duration(0.0)),
    "BACKBURNER_KEEP_BYTES": Key(10 << 30, _whole(0)),
    "BACKBURNER_FILES": Key(None, _text),
    "BACKBURNER_SUBMIT": Key(None, _modules),
    "BACKBURNER_MAX_STREAMS": Key("auto", _streams),
    "BACKBURNER_MAX_WAIT": Key(10.0, _duration(0.0)),
}


def read_settings(app: Flask) -> Settings:
    """The settings of an app. Raises ``ConfigError`` for what cannot be used."""
    _refuse_unknown(app)
    values = {
        key: known.read(key, app.config.get(key, known.default)) for key, known in KEYS.items()
    }
    name = values["BACKBURNER_NAME"] or app.name
    url = values["BACKBURNER_URL"]
    redis = None if url.startswith(SQLITE) else url
    file = "backburner" if redis else url.removeprefix(SQLITE)
    path = os.path.join(app.instance_path, file)
    engine = _engine(values["BACKBURNER_ENGINE"], redis)
    return Settings(
        path=path,
        redis=redis,
        engine=engine,
        broker=(values["BACKBURNER_BROKER_URL"] or redis) if engine == "celery" else None,
        name=name,
        worker=values["BACKBURNER_WORKER"],
        app=values["BACKBURNER_APP"],
        threads=values["BACKBURNER_THREADS"],
        processes=values["BACKBURNER_PROCESSES"] or os.cpu_count() or 1,
        process_memory=values["BACKBURNER_PROCESS_MEMORY"],
        process_jobs=values["BACKBURNER_PROCESS_JOBS"],
        queues=values["BACKBURNER_QUEUES"],
        durability=values["BACKBURNER_DURABILITY"],
        grace=values["BACKBURNER_GRACE"],
        poll=values["BACKBURNER_POLL"],
        hang=values["BACKBURNER_HANG"],
        network_fs=values["BACKBURNER_NETWORK_FS"],
        max_queued=values["BACKBURNER_MAX_QUEUED"],
        url_prefix=values["BACKBURNER_URL_PREFIX"],
        limits=Limits(
            arguments_bytes=values["BACKBURNER_MAX_ARGS_BYTES"],
            result_bytes=values["BACKBURNER_MAX_RESULT_BYTES"],
            nesting=values["BACKBURNER_MAX_NESTING"],
        ),
        keeping=Keeping(
            done=values["BACKBURNER_KEEP"],
            failed=values["BACKBURNER_KEEP_FAILED"],
            bytes=values["BACKBURNER_KEEP_BYTES"],
        ),
        files=os.path.join(
            app.instance_path,
            values["BACKBURNER_FILES"] or path + ".files",
            _as_folder(name),  # apps that share a store must not sweep each other's files
        ),
        submit=values["BACKBURNER_SUBMIT"] or (_package(app),),
        max_streams=values["BACKBURNER_MAX_STREAMS"],
        max_wait=values["BACKBURNER_MAX_WAIT"],
    )


def _engine(chosen: str, redis: str | None) -> Literal["local", "celery"]:
    if chosen == "celery" and redis is None:
        raise ConfigError(
            "BACKBURNER_ENGINE",
            "BACKBURNER_ENGINE is 'celery', whose workers may run on other machines, but the "
            "store is a file on this one. Set BACKBURNER_URL to 'redis://host:6379/0', or leave "
            "BACKBURNER_ENGINE as it was.",
        )
    return "celery" if chosen == "celery" or (chosen == "auto" and redis) else "local"


def _package(app: Flask) -> str:
    """The package that the app is made in; for a script, the module that its file would be."""
    return app.name if app.import_name == "__main__" else app.import_name.partition(".")[0]


def _as_folder(name: str) -> str:
    return re.sub(r"^\.", "%2E", quote(name, safe=" "))


def _refuse_unknown(app: Flask) -> None:
    for key in app.config:
        if key.startswith(PREFIX) and key not in KEYS:
            raise ConfigError(
                key, f"{key} is no setting of this Flask-Backburner. {_known_like(key)}"
            )


def _known_like(key: str) -> str:
    # Without the prefix, or every key would be like every other
    names = {known.removeprefix(PREFIX): known for known in KEYS}
    near = difflib.get_close_matches(key.removeprefix(PREFIX).upper(), names, 1)
    return f"Did you mean {names[near[0]]}?" if near else f"Known are {', '.join(KEYS)}."
