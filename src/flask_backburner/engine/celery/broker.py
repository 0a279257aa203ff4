"""Broker: the connection to what carries tokens, which are nothing to be kept or understood."""

from __future__ import annotations

import uuid
from queue import Empty
from typing import Any

from kombu.connection import Connection
from kombu.transport import redis, virtual

LONGEST_PAUSE = 4.0
"""Between two tries to reach a broker that is away."""


class Arrived(virtual.Message):
    """A token out of Redis, whatever is in it: that it came is all that it can say."""

    def __init__(self, payload: object, channel: Any = None, **options: Any) -> None:
        where = {"exchange": "", "routing_key": ""}
        properties = {"delivery_tag": str(uuid.uuid4()), "delivery_info": where}
        super().__init__({"properties": properties}, channel=channel, **options)


class RedisChannel(redis.Channel):
    """Keeps no token until it is acknowledged: one that was lost is sent again if it is missed."""

    Message = Arrived
    ack_emulation = False
    do_restore = False

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except ValueError:  # not even JSON; it is out of the list
            raise Empty from None


class RedisTransport(redis.Transport):
    Channel = RedisChannel


class Broker(Connection):
    """A connection that is tried again soon, however long the broker was away."""

    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        return RedisTransport if found is redis.Transport else found

    def _ensure_connection(self, *args: Any, **options: Any) -> Any:
        options.update(interval_start=0.5, interval_step=0.5, interval_max=LONGEST_PAUSE)
        return super()._ensure_connection(*args, **options)
