"""The signals of ``celery.signals`` that are sent where a task runs.

``task_prerun``, ``task_postrun``, ``task_success``, ``task_failure`` and ``task_retry``; the
others can be imported, and say when they are connected that they are never sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from .refused import Refused

logger = logging.getLogger("flask_backburner")

Receiver = Callable[..., Any]

NEVER_SENT = frozenset(
    {
        "after_setup_logger",
        "after_setup_task_logger",
        "after_task_publish",
        "beat_embedded_init",
        "beat_init",
        "before_task_publish",
        "celeryd_after_setup",
        "celeryd_init",
        "heartbeat_sent",
        "import_modules",
        "setup_logging",
        "task_internal_error",
        "task_received",
        "task_rejected",
        "task_revoked",
        "task_sent",
        "task_unknown",
        "user_preload_options",
        "worker_before_create_process",
        "worker_init",
        "worker_process_init",
        "worker_process_shutdown",
        "worker_ready",
        "worker_shutdown",
        "worker_shutting_down",
    }
)


class Signal:
    """Calls its receivers when something happens to a task; ``connect`` also decorates."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._receivers: tuple[tuple[Receiver, Any], ...] = ()

    def __repr__(self) -> str:
        return f"<Signal {self.name}>"

    def connect(
        self, receiver: Receiver | None = None, *, sender: Any = None, **ignored: Any
    ) -> Any:
        """Call ``receiver`` from now on, for one task if that is the ``sender``.

        Receivers are kept until they are disconnected; ``weak`` and ``dispatch_uid`` change
        nothing.
        """
        if receiver is None:
            return lambda receiver: self.connect(receiver, sender=sender)
        if (receiver, sender) not in self._receivers:
            self._receivers = (*self._receivers, (receiver, sender))
        return receiver

    def disconnect(self, receiver: Receiver, sender: Any = None, **ignored: Any) -> bool:
        """Call it no more; whether it was called before."""
        kept = tuple(each for each in self._receivers if each != (receiver, sender))
        found, self._receivers = len(kept) < len(self._receivers), kept
        return found

    def send(self, sender: Any, **named: Any) -> list[tuple[Receiver, Any]]:
        """Call the receivers, whatever becomes of any; what each gave back or raised."""
        return [
            (receiver, self._told(receiver, sender, named))
            for receiver, wanted in self._receivers
            if wanted is None or _is_same(wanted, sender)
        ]

    def _told(self, receiver: Receiver, sender: Any, named: dict[str, Any]) -> Any:
        try:
            return receiver(signal=self, sender=sender, **named)
        except Exception as error:
            logger.exception("A receiver of %s failed for %r", self.name, sender)
            return error


def _is_same(wanted: Any, sender: Any) -> bool:
    """Whether it is the same task; each app has an object of its own for a shared one."""
    return bool(getattr(wanted, "name", wanted) == getattr(sender, "name", sender))


task_prerun = Signal("task_prerun")
task_postrun = Signal("task_postrun")
task_success = Signal("task_success")
task_failure = Signal("task_failure")
task_retry = Signal("task_retry")


REASON = (
    "sent are task_prerun, task_postrun, task_success, task_failure and task_retry. For jobs that "
    "are started or cancelled there are the signals of flask_backburner."
)


def __getattr__(name: str) -> Refused:
    if name in NEVER_SENT:
        return Refused(f"signal {name}", REASON)
    raise AttributeError(f"celery_compat.signals has no {name!r}")
