"""Post: puts tokens into the broker, as many as are missing."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.messaging import Producer

from .tokens import CONNECT_SECONDS, JSON, TOKEN, token_envelope, token_queue

REPLY_SECONDS = 2.0


class Post:
    """A connection to the broker, opened when first needed. For one thread at a time."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None

    def fill(self, name: str, tokens: int, *, again: bool = True) -> None:
        """Let at least so many tokens wait in a queue.

        Raises what the broker's client raises when there is no broker; before, it is tried
        ``again`` if the connection was an old one.
        """
        fresh = self._connection is None
        try:
            self._fill(name, tokens)
        except Exception:
            self.close()
            if fresh or not again:
                raise
            self._fill(name, tokens)  # the broker may have been restarted since the last time

    def _fill(self, name: str, tokens: int) -> None:
        channel = self._connected().default_channel
        queue = token_queue(name)
        there = channel.queue_declare(
            queue=name, durable=queue.durable, exclusive=False, auto_delete=queue.auto_delete
        )
        producer = Producer(channel, auto_declare=False)
        for _ in range(tokens - there.message_count):
            producer.publish(TOKEN, routing_key=name, serializer=JSON, **token_envelope())

    def _connected(self) -> Any:
        if self._connection is None:
            connection: Any = self._app.connection_for_write(
                heartbeat=0,  # nobody would send any while there is nothing to announce
                connect_timeout=CONNECT_SECONDS,
                transport_options=self._impatience(),
            )
            self._connection = connection
            connection.connect()
        return self._connection

    def _impatience(self) -> dict[str, float]:
        if str(self._app.conf.broker_url).startswith("amqp"):
            return {"read_timeout": REPLY_SECONDS, "write_timeout": REPLY_SECONDS}
        return {"socket_timeout": REPLY_SECONDS}

    def close(self) -> None:
        """Give the connection back. Repeatable; a later use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect(socket_timeout=0.1)  # does not wait for a broker that is away
