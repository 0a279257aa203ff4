"""What a worker of Celery's does for us when it starts and stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from celery import bootsteps, signals

POOL = "celery.worker.components:Pool"


class Life(Protocol):
    """Who is told of the life of a worker and of its children."""

    def prepare(self, *, size: int, names: list[str], pool: type[Any]) -> None: ...
    def begin_worker(self, renew: Callable[[], None]) -> None: ...
    def heed_signals(self, **_: object) -> None: ...
    def close_worker(self, *, at_once: bool) -> None: ...
    def await_children(self) -> None: ...
    def end_worker(self, **_: object) -> None: ...
    def enter_child(self, **_: object) -> None: ...
    def leave_child(self, **_: object) -> None: ...


class EngineStep(bootsteps.StartStopStep):
    """Tells the engine of the worker's life."""

    # Stopped before the pool is, so that children can still hand back what they run.
    requires = (POOL,)
    engine: Life

    def create(self, parent: Any) -> None:
        engine = self.engine
        engine.prepare(
            size=parent.concurrency,
            names=list(parent.app.amqp.queues.consume_from),
            pool=parent.pool_cls,
        )
        signals.worker_process_init.connect(engine.enter_child, weak=False)
        signals.worker_process_shutdown.connect(engine.leave_child, weak=False)
        signals.worker_ready.connect(engine.heed_signals, weak=False)
        signals.worker_shutdown.connect(engine.end_worker, weak=False)

    def start(self, parent: Any) -> None:
        self.engine.begin_worker(lambda: _renew(parent))

    def stop(self, parent: Any) -> None:
        self.engine.close_worker(at_once=False)

    def terminate(self, parent: Any) -> None:
        self.engine.close_worker(at_once=True)
        self.engine.await_children()


def _renew(worker: Any) -> None:
    """By itself Celery looks for dead children every five seconds; called by another thread."""
    if worker.hub is not None and worker.pool is not None:
        worker.hub.call_soon(worker.pool.maintain_pool)


def step_of(engine: Life) -> type[EngineStep]:
    """The step of one engine; Celery makes the object itself."""
    return type("EngineStepOfOne", (EngineStep,), {"engine": engine, "name": "backburner"})
