"""Broker: the connection to what carries tokens, which are nothing to be kept or understood."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import msgspec
from kombu.connection import Connection
from kombu.transport import redis

from .names import PREFIX

LONGEST_PAUSE = 4.0
"""Between two tries to reach a broker that is away."""

_OURS = PREFIX.encode()


def _blank_token() -> bytes:
    where = {"exchange": "", "routing_key": ""}
    return msgspec.json.encode(
        {"properties": {"delivery_tag": str(uuid.uuid4()), "delivery_info": where}}
    )


class RedisClient(redis.PrefixedStrictRedis):
    """Puts a blank token in the place of whatever is taken out of a queue of tokens.

    So nothing that others put there is even parsed. Celery's own messages stay as they are.
    """

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        answer = super().parse_response(connection, command_name, **options)
        if command_name == "BRPOP" and answer and answer[0].startswith(_OURS):
            return answer[0], _blank_token()
        return answer


class RedisChannel(redis.Channel):
    """Keeps no token until it is acknowledged: one that was lost is sent again if it is missed."""

    ack_emulation = False
    do_restore = False

    def _get_client(self) -> Any:
        return partial(RedisClient, global_keyprefix=self.global_keyprefix)


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
