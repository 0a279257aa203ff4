"""The Celery app: its one task, carried by tokens without data, in JSON only."""

from __future__ import annotations

import socket
import ssl
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from celery import Celery
from celery.app.amqp import AMQP
from celery.worker.consumer import Consumer
from celery.worker.consumer.control import Control
from kombu.entity import Exchange, Queue
from kombu.message import Message

from ...settings import Settings
from .broker import Broker
from .names import QueueNames

CARRY = "backburner.carry"
CONNECT_SECONDS = 2.0
ALIVE_SECONDS = 5
"""So often a connection shows that it is whole; after twice as long in silence it is given up."""

TRANSIENT = 1
JSON = "json"
JSON_ONLY = {
    "task_serializer": JSON,
    "result_serializer": JSON,
    "event_serializer": JSON,
    "accept_content": [JSON],
    "result_accept_content": [JSON],
}


class _Amqp(AMQP):
    Connection = Broker
    # Straight into the queue: an exchange of its own would bring nothing but bindings to keep.
    autoexchange = staticmethod(lambda name: Exchange(""))


class Intake(Consumer):
    """Takes whatever arrives for a token: that it came is all that it can say.

    So nobody who can write to the broker decides what runs, or how, and no message is strange
    enough to end the worker. Workers need not hear of each other, so they do not listen.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "without_gossip": True, "without_mingle": True})
        for step in self.steps:
            if isinstance(step, Control):
                # After a command that it did not understand Celery opens the line for commands
                # anew. With Redis it may then read for ever from what is a process's pipe by now.
                step.box.reset = lambda: None

    def create_task_handler(  # pyright: ignore[reportIncompatibleMethodOverride]  # passed on
        self, *args: Any, **options: Any
    ) -> Callable[[Message], Any]:
        handle = super().create_task_handler(*args, **options)

        def take(message: Message) -> Any:
            envelope = token_envelope()
            message.headers = envelope.pop("headers")
            message.properties = envelope
            message.body, message.errors, message._decoded_cache = _BODY, [], None
            message.content_type, message.content_encoding = "application/json", "utf-8"
            return handle(message)

        return take


TOKEN: tuple[Any, ...] = (
    [],
    {},
    {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
)
_BODY = msgspec.json.encode(TOKEN)
_ORIGIN = socket.gethostname()


def token_envelope() -> dict[str, Any]:
    """What Celery wants to know of a task, in version 2 of its protocol."""
    id = str(uuid.uuid4())
    headers = {
        "lang": "py",
        "task": CARRY,
        "id": id,
        "root_id": id,
        "parent_id": None,
        "group": None,
        "origin": _ORIGIN,
        "ignore_result": True,
    }
    return {"headers": headers, "correlation_id": id, "delivery_mode": TRANSIENT}


def token_queue(name: str) -> Queue:
    """A queue of tokens in the broker."""
    return Queue(name, Exchange(""), routing_key=name)


def make_celery_app(settings: Settings, names: QueueNames, carry: Callable[[], None]) -> Celery:
    """The Celery app of an installation. ``carry`` is called once for each token."""
    served = names.for_worker(settings.queues)
    assert settings.broker is not None
    app = Celery(names.everything, amqp=_Amqp, set_as_current=False)
    app.conf.update(
        broker_url=_verified(settings.broker),
        broker_use_ssl=_AMQPS if settings.broker.startswith("amqps:") else None,
        **JSON_ONLY,
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_default_queue=served[0],
        task_default_exchange="",
        task_default_delivery_mode=TRANSIENT,
        task_queues=[token_queue(name) for name in served],
        broker_connection_timeout=CONNECT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=ALIVE_SECONDS,
        broker_transport_options=_transport_options(settings, names),
        worker_consumer=f"{__name__}:{Intake.__name__}",
        worker_concurrency=settings.processes,
        worker_prefetch_multiplier=1,
        worker_lost_wait=0.5,
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )

    @app.task(name=CARRY, shared=False)
    def carried() -> None:
        carry()

    return app


_AMQPS = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}  # none: the URL's


def _verified(url: str) -> str:
    """The URL with which a Redis has to show a certificate, unless it says otherwise itself."""
    if not url.startswith("rediss:") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def _transport_options(settings: Settings, names: QueueNames) -> dict[str, Any]:
    assert settings.broker is not None
    if settings.broker.startswith("amqp"):
        return {}
    return {
        "global_keyprefix": f"{names.everything}:",
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": 2 * ALIVE_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": ALIVE_SECONDS,
    }


def forget_other_tasks(app: Celery) -> None:
    """Leave nothing that a message could ask for but our own task."""
    app.finalize()
    for name in list(app.tasks):
        if name != CARRY:
            app.tasks.unregister(name)
