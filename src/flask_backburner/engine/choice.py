"""Which engine an app has: our own, or Celery, which need not be installed for ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..errors import ConfigError
from ..installation import Installation
from .base import Engine
from .local.engine import LocalEngine

if TYPE_CHECKING:
    from .celery.engine import CeleryEngine


def engine_of(installation: Installation) -> Engine:
    """What the configuration asks for. Raises ``ConfigError`` if Celery is not installed."""
    if installation.settings.engine == "local":
        return LocalEngine(installation)
    try:
        from .celery.engine import CeleryEngine
    except ModuleNotFoundError as missing:
        raise ConfigError(
            "BACKBURNER_URL",
            f"BACKBURNER_URL is {installation.settings.place!r}, for which jobs are run by "
            f"Celery, and the package {missing.name} is not installed. Install it with: "
            "pip install 'Flask-Backburner[celery]'",
        ) from missing
    return CeleryEngine(installation)


def celery_engine(installation: Installation) -> CeleryEngine:
    """The engine of an app that has Celery. Raises ``ConfigError`` for one that has not."""
    if installation.settings.engine == "local":
        raise ConfigError(
            "BACKBURNER_ENGINE",
            f"The app {installation.app.name!r} has no Celery app, as it keeps its jobs in "
            f"{installation.settings.place}. Set BACKBURNER_URL to 'redis://host:6379/0'.",
        )
    return cast("CeleryEngine", installation.engine)
