"""The names of Celery's queues: one for whoever serves all, and one for each queue of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from urllib.parse import quote, unquote

PREFIX = "backburner."
LONGEST = 200
"""RabbitMQ takes names of 255 bytes."""


class QueueNames:
    """How the queues of one namespace are called in the broker.

    Workers that serve all queues listen at ``everything``, where tokens of any queue arrive, so
    that a queue that nobody knew before is served as well.
    """

    def __init__(self, namespace: str) -> None:
        self.everything = _bounded(PREFIX + _quoted(namespace))

    def of(self, queue: str) -> str:
        """Where tokens for workers arrive that serve only this queue and perhaps others."""
        return _bounded(f"{self.everything}.{_quoted(queue)}")

    def for_worker(self, queues: Collection[str] | None) -> list[str]:
        """Where a worker listens that serves these queues; ``None`` for all."""
        if queues is None:
            return [self.everything]
        return [self.of(queue) for queue in sorted(queues)]

    def served(self, names: Collection[str]) -> frozenset[str] | None:
        """The queues that are served by who listens at these names; ``None`` for all.

        Raises ``ValueError`` for a name that is none of ours.
        """
        prefix = self.everything + "."
        for name in names:
            if name != self.everything and not name.startswith(prefix):
                raise ValueError(
                    f"{name!r} is no queue of this application in the broker. Its queue 'mail' "
                    f"is called {self.of('mail')!r} there, and all its queues {self.everything!r}."
                )
        if self.everything in names:
            return None
        return frozenset(unquote(name[len(prefix) :]) for name in names)


def _quoted(name: str) -> str:
    # Dots part the names from each other, and an operator's eye from the rest.
    return quote(name, safe="").replace(".", "%2E")


def _bounded(name: str) -> str:
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    return f"{name[: LONGEST - 33]}.{digest}"
