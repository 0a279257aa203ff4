"""The scene of Celery's workers: a Redis and a broker of its own, and a line to disturb."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

from chaos.checker import Breach
from chaos.journal import Attempt
from chaos.leftovers import descriptors
from chaos.redis_ledger import NAMESPACE, RedisLedger
from chaos.scene import PATIENCE, Scene
from support.rabbitmq import RabbitServer, running_rabbit
from support.redis_server import RedisServer, running_redis
from support.servers import Served
from support.tcp_proxy import TcpProxy, proxy_of
from support.waiting import until

READY = " ready."
NOTICED = 10.0
"""A dead worker's jobs run again within so many seconds."""

CHILD_NOTICED = 2.0
"""Those of a dead process of its pool."""

RESUMED = 30.0
"""So long work may rest after its broker came back."""


class CeleryScene(Scene):
    """Jobs in a Redis with ``appendonly``, run by Celery's workers."""

    ledger: RedisLedger
    PERSISTENCE: tuple[str, ...] = ("--appendonly", "yes", "--appendfsync", "always")

    def __init__(self, slack: float) -> None:
        self._stack = ExitStack()
        self._broker_url = ""
        super().__init__(slack)
        self.configure(name=NAMESPACE, url=self.redis.url, grace=1)

    def _make_ledger(self) -> RedisLedger:
        folder = self.folder / "redis"
        folder.mkdir()
        running = running_redis(folder, *self.PERSISTENCE)
        self.redis: RedisServer = self._stack.enter_context(running)
        return RedisLedger(self.redis.url)

    @property
    def broker_url(self) -> str:
        """Where tokens are, past any proxy."""
        return self._broker_url or self.redis.url

    def rabbit(self) -> RabbitServer:
        """From now on the broker is a RabbitMQ."""
        folder = self.folder / "rabbit"
        folder.mkdir()
        server = self._stack.enter_context(running_rabbit(folder))
        self._broker_url = server.url
        self.configure(broker_url=server.url)
        return server

    def proxied_store(self) -> TcpProxy:
        """From now on there is a proxy before the store."""
        proxy = self._stack.enter_context(proxy_of(self.redis.port))
        self.configure(url=f"redis://127.0.0.1:{proxy.port}/0")
        return proxy

    def proxied_redis(self) -> TcpProxy:
        """From now on there is a proxy before the broker, which is Redis."""
        proxy = self._stack.enter_context(proxy_of(self.redis.port))
        self.configure(broker_url=f"redis://127.0.0.1:{proxy.port}/1")
        return proxy

    def proxied_rabbit(self) -> TcpProxy:
        """From now on there is a proxy before the broker, which is a RabbitMQ."""
        server = self.rabbit()
        proxy = self._stack.enter_context(proxy_of(server.port))
        self.configure(broker_url=server.url.replace(str(server.port), str(proxy.port)))
        return proxy

    def crew(self, size: int, pool: Literal["prefork", "threads"] = "prefork") -> Served:
        """A worker that takes jobs."""
        self.threads = size if pool == "threads" else 1
        worker = self.worker("-c", str(size), "--pool", pool)
        until(
            lambda: READY in worker.output() or not worker.running(),
            PATIENCE,
            lambda: f"{worker!r} to be ready\n{worker.output()}",
        )
        assert worker.running(), worker.output()
        return worker

    @contextmanager
    def crewed(self, size: int) -> Iterator[Served]:
        """A client and a worker, as things are configured now; both end with the block."""
        self.start("nap", 0.0, jobs=0)
        worker = self.crew(size)
        yield worker
        self.tell(worker)
        assert worker.wait(PATIENCE) == 0, worker.output()
        self.dismiss_client()

    def kill_child(self, worker: Served) -> Attempt:
        """``kill -9`` of a process of the pool that runs a job; which attempt that cut off."""
        until(lambda: bool(self.journal.going_on(worker.mark)), PATIENCE, "a job that runs")
        attempt = self.journal.going_on(worker.mark)[0]
        self.kill(worker, int(attempt.process.removeprefix(worker.mark)))
        return attempt

    def begun_again(self, attempt: Attempt) -> float:
        """Wait until a job that was cut off begins again; how many seconds that took."""
        began = time.monotonic()
        until(lambda: self._later(attempt), PATIENCE, f"another attempt of {attempt.id}")
        return time.monotonic() - began

    def _later(self, attempt: Attempt) -> bool:
        """Whether there is a later attempt, or none is needed as it had ended in time."""
        attempts = [each for each in self.journal.attempts() if each.id == attempt.id]
        return attempts[-1].fence > attempt.fence or attempts[-1].ended

    def ended(self) -> int:
        """How many attempts have ended."""
        return sum(attempt.ended for attempt in self.journal.attempts())

    def restarted(self, server: RedisServer | RabbitServer) -> None:
        """Kill a server, and start it again when a job has ended in the meantime."""
        server.kill()
        before = self.ended()
        until(lambda: self.ended() > before or not self._going_on(), PATIENCE, "an end")
        server.start()

    def _going_on(self) -> bool:
        return any(not attempt.ended for attempt in self.journal.attempts())

    def _left_over(self) -> list[str]:
        return descriptors(self.folder / "store")  # what serves the scene itself still runs

    def close(self) -> list[Breach]:
        try:
            return super().close()
        finally:
            self.ledger.close()
            self._stack.close()


class ForgetfulScene(CeleryScene):
    """Jobs in a Redis that writes its data to the disk only when it is asked to."""

    PERSISTENCE = ()

    def ended_since(self, before: int) -> None:
        """Wait until an attempt has ended that had not then."""
        until(lambda: self.ended() > before, PATIENCE, "an end")

    @contextmanager
    def losing_memory(self) -> Iterator[None]:
        """What is lost meanwhile is asked of nobody afterwards."""
        with self._watch.looking_away():
            yield
            self.since = time.monotonic()

    def judge(self) -> None:
        """Judge what there is until now, when nothing runs."""
        self._breaches += self._judged()
