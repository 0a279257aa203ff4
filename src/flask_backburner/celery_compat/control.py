"""Control: revokes tasks, which is all that there is to command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .binding import Client
from .refused import Refused
from .result import AsyncResult


class Control(Refused):
    """``celery.control``: revokes tasks; there are no workers to command."""

    def __init__(self, app: Client) -> None:
        super().__init__("Celery.control", "workers take no commands. See `flask jobs`.")
        self._app = app

    def revoke(self, task_id: str | Iterable[str], **options: Any) -> None:
        """As ``AsyncResult.revoke``, for one id or several."""
        ids = [task_id] if isinstance(task_id, str) else task_id
        for id in ids:
            AsyncResult(id, app=self._app).revoke(
                terminate=options.get("terminate", False), signal=options.get("signal")
            )
