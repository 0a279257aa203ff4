"""Where jobs live and who runs them, chosen by environment variables alone."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.servers import Served, Servers
from support.waiting import until

STARTING = 60.0
READY = " ready."

EMBEDDED = "embedded"
ON_CELERY = ("celery-redis", "celery-rabbitmq")
EVERY = (EMBEDDED, *ON_CELERY)


@dataclass(frozen=True)
class Engine:
    """The environment that leads to an engine; nothing in it for the embedded one."""

    name: str = EMBEDDED
    env: Mapping[str, str] = field(default_factory=dict)

    def fresh(self, folder: Path) -> Engine:
        """The same with a namespace that nobody else has, and a folder that all can reach."""
        if self.name == EMBEDDED:
            return self
        own = {
            "FLASK_BACKBURNER_NAME": f"test-{secrets.token_hex(6)}",
            "FLASK_BACKBURNER_FILES": str(folder / "files"),
        }
        return Engine(self.name, {**self.env, **own})

    def worker(
        self,
        serve: Servers,
        app_dir: Path,
        app: str,
        *args: str,
        env: Mapping[str, str] | None = None,
    ) -> Served | None:
        """A worker that takes jobs; none where the web process has its own."""
        if self.name == EMBEDDED:
            return None
        served = serve.worker(app_dir, app, *args, env={**self.env, **(env or {})})
        return awaited(served)


def awaited(worker: Served) -> Served:
    """Wait until a worker of Celery's takes jobs."""
    until(
        lambda: READY in worker.output() or not worker.running(),
        STARTING,
        lambda: f"a worker that is ready\n{worker.output()}",
    )
    assert worker.running(), worker.output()
    return worker
