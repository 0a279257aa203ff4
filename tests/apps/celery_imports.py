"""The one line that these apps change: where Celery's names come from.

``CELERY_PACKAGE`` is ``celery`` or ``flask_backburner.celery_compat``.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

VARIABLE = "CELERY_PACKAGE"
COMPAT = "flask_backburner.celery_compat"


def celery(path: str = "") -> Any:
    """The package, or a module below it: ``celery(".result")``."""
    return import_module(os.environ.get(VARIABLE, COMPAT) + path)
