"""Conf: Celery's settings, those that mean something here and those that do not."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime, tzinfo
from importlib import import_module
from pkgutil import resolve_name
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

from .exceptions import ImproperlyConfigured, NotSupported
from .refused import PERIODIC

logger = logging.getLogger("flask_backburner")

DEFAULTS: Mapping[str, Any] = {
    "broker_url": None,
    "enable_utc": True,
    "imports": (),
    "include": (),
    "result_backend": None,
    "task_always_eager": False,
    "task_default_queue": "default",
    "task_eager_propagates": False,
    "task_ignore_result": False,
    "task_soft_time_limit": None,
    "task_time_limit": None,
    "task_track_started": False,
    "timezone": None,
}
"""The settings that are read, and what they are without being set."""

OLD_NAMES: Mapping[str, str] = {
    "CELERYD_TASK_SOFT_TIME_LIMIT": "task_soft_time_limit",
    "CELERYD_TASK_TIME_LIMIT": "task_time_limit",
    "CELERY_ALWAYS_EAGER": "task_always_eager",
    "CELERY_DEFAULT_QUEUE": "task_default_queue",
    "CELERY_EAGER_PROPAGATES": "task_eager_propagates",
    "CELERY_EAGER_PROPAGATES_EXCEPTIONS": "task_eager_propagates",
    "CELERY_IGNORE_RESULT": "task_ignore_result",
    "CELERY_TASK_RESULT_EXPIRES": "result_expires",
    "CELERY_TRACK_STARTED": "task_track_started",
}

OLD_BEGINNINGS: Mapping[str, str] = {
    "BROKER_": "broker_",
    "CELERYBEAT_": "beat_",
    "CELERYD_": "worker_",
    "CELERY_": "",
}

REFUSED: Mapping[str, str] = {
    "beat_schedule": PERIODIC,
}

JSON_ONLY = frozenset({"accept_content", "result_accept_content", "result_serializer"}) | {
    "task_serializer",
    "event_serializer",
}
_JSON = frozenset({"json", "application/json"})

_OTHERS = re.compile(
    "(accept|arangodb|azureblockblob|beat|broker|cache|cassandra|control|cosmosdbsql|couchbase"
    "|couchdb|database|dynamodb|elasticsearch|events?|filesystem|gcs|mongodb|override|redis"
    "|result|s3|security|task|worker)_"
)
"""What the names of Celery's other settings begin with."""

_said: set[str] = set()


class Conf(MutableMapping[str, Any]):
    """``celery.conf``: settings as attributes and as a mapping, by their new or old names."""

    def __init__(self) -> None:
        self.__dict__.update(_given={}, _sources=[])

    def __getitem__(self, key: str) -> Any:
        name = setting(key) or key
        given: dict[str, Any] = self.__dict__["_given"]
        return given[name] if name in given else DEFAULTS[name]

    def __setitem__(self, key: str, value: Any) -> None:
        name = setting(key)
        if name is not None:
            _check(name, value)
        self.__dict__["_given"][name or key] = value

    def __delitem__(self, key: str) -> None:
        del self.__dict__["_given"][setting(key) or key]

    def __iter__(self) -> Iterator[str]:
        return iter({**DEFAULTS, **self.__dict__["_given"]})

    def update(self, settings: Any = (), /, **more: Any) -> None:
        """Take over settings, such as ``app.config`` has them; keys of others are kept too."""
        self.note_source(settings)
        super().update(settings, **more)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"celery.conf has no setting {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return f"<Conf {sorted(self)}>"  # the values may hold passwords

    @property
    def sources(self) -> list[object]:
        """The objects that settings were taken from."""
        found: list[object] = self.__dict__["_sources"]
        return found

    def note_source(self, source: object) -> None:
        """Note where settings come from, which tells whose they are."""
        self.sources.append(source)

    @property
    def zone(self) -> tzinfo:
        """The zone of times that say none."""
        if self["timezone"] is None and not self["enable_utc"]:
            return datetime.now().astimezone().tzinfo or UTC
        try:
            return ZoneInfo(self["timezone"] or "UTC")
        except (KeyError, ValueError, OSError) as error:
            raise ImproperlyConfigured(
                f"conf.timezone is {self['timezone']!r}, which is no time zone: {error}. Use a "
                "name such as 'Europe/Paris'."
            ) from error


def setting(key: str) -> str | None:
    """Celery's own name of a setting: itself, an old one, or one that ``CELERY_`` precedes.

    ``None`` for the keys of others, such as Flask's, which ``conf.update(app.config)`` brings.
    """
    if key in OLD_NAMES:
        return OLD_NAMES[key]
    for old, new in OLD_BEGINNINGS.items():
        if key.startswith(old):
            return new + key.removeprefix(old).lower()
    return key if key.islower() else None


def read_source(source: Any) -> Mapping[str, Any]:
    """The settings of a mapping, module, class or object, or of what the text names."""
    found = _named(source) if isinstance(source, str) else source
    if isinstance(found, Mapping):
        return found
    settings = {name: getattr(found, name) for name in dir(found) if not name.startswith("_")}
    return {name: value for name, value in settings.items() if not _is_code(value)}


def _is_code(value: Any) -> bool:
    """What a module or a class has beside its settings."""
    return isinstance(value, ModuleType) or callable(value)


def _named(text: str) -> Any:
    try:
        return resolve_name(text) if ":" in text else _module_or_attribute(text)
    except (ImportError, AttributeError) as error:
        raise ImproperlyConfigured(f"There is no configuration {text!r}: {error}") from error


def _module_or_attribute(text: str) -> Any:
    try:
        return import_module(text)
    except ModuleNotFoundError as error:
        if error.name is None or not text.startswith(error.name) or "." not in text:
            raise
        return resolve_name(text)


def below(namespace: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings whose names begin with the namespace, without it."""
    prefix = namespace.rstrip("_") + "_"
    return {
        key.removeprefix(prefix).lower(): value
        for key, value in settings.items()
        if key.startswith(prefix)
    }


def _check(name: str, value: Any) -> None:
    """Refuse what would be missed, and say once what has no effect."""
    if name in REFUSED and value:
        raise NotSupported(f"setting {name}", REFUSED[name])
    if name in JSON_ONLY:
        _check_json(name, value)
    elif name not in DEFAULTS and name not in REFUSED and name not in _said:
        _said.add(name)
        known = _OTHERS.match(name)
        logger.warning(
            "Celery's setting %s has no effect here"
            if known
            else "%s is no setting of Celery's that is known here and has no effect",
            name,
        )


def _check_json(name: str, value: Any) -> None:
    values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    if name.endswith("accept_content"):
        fits = value is None or bool(_JSON & set(values))
    else:
        fits = set(values) <= _JSON
    if not fits:
        raise NotSupported(
            f"setting {name}={value!r}",
            "arguments and results are JSON. Remove it, or set it to 'json'.",
        )
