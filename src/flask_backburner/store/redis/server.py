"""The Redis server: connections that nobody waits long for, and errors that say what to do."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from ...errors import StoreBusy, StoreCorrupt, StoreError, StoreFull
from .scripts import Script

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
PATIENT_SECONDS = 15.0
CONNECTIONS = 64
OLDEST = (5, 0)
"""Since then a script may ask for the time and write what depends on it."""

Command = Sequence[str | bytes | int | float]

logger = logging.getLogger("flask_backburner")


def _redis() -> ModuleType:
    try:
        import redis
    except ModuleNotFoundError as error:
        raise StoreError(
            "A store on Redis takes the package redis. Install it with: "
            "pip install 'Flask-Backburner[celery]'"
        ) from error
    return redis


class Server:
    """The Redis at a URL, by a pool of connections that is opened when first used.

    After a fork the child opens connections of its own.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self.place = f"{parts.hostname}:{parts.port or 6379}{parts.path}"
        self.forget()
        _servers.add(self)

    def forget(self) -> None:
        """Be as new: for a forked child, where other threads' locks stay locked for ever."""
        self._opening = threading.Lock()
        self._clients: tuple[Any, Any] | None = None

    def run(
        self,
        script: Script,
        *arguments: str | bytes,
        patient: bool = False,
        repeatable: bool = False,
    ) -> Any:
        """What a script gives back.

        One that may take long is waited for with patience. One that may be repeated is, if the
        connection was cut.
        """
        with self._translated():
            try:
                return self._run(script, arguments, patient)
            except _redis().exceptions.ConnectionError:
                if not repeatable:
                    raise
                return self._run(script, arguments, patient)

    def _run(self, script: Script, arguments: Sequence[str | bytes], patient: bool) -> Any:
        client = self._client(patient)
        try:
            return client.evalsha(script.sha, 1, *arguments)
        except _redis().exceptions.NoScriptError:  # a server that was restarted
            return client.eval(script.text, 1, *arguments)

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands that only read; asked again if a connection was cut."""
        with self._translated():
            try:
                return self._asked(commands)
            except _redis().exceptions.ConnectionError:
                return self._asked(commands)

    def _asked(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self._client().pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = pipeline.execute()
        return answers

    def _client(self, patient: bool = False) -> Any:
        clients = self._clients
        if clients is None:
            with self._opening:
                clients = self._clients = self._clients or self._open()
        return clients[patient]

    def _open(self) -> tuple[Any, Any]:
        quick = self._pool(ANSWER_SECONDS)
        try:
            about = quick.info()
            check_version(about, self.place)
        except BaseException:
            quick.connection_pool.disconnect()
            raise
        risk = eviction_risk(about, self.place)
        if risk:
            logger.warning(risk)
        return quick, self._pool(PATIENT_SECONDS)

    def _pool(self, seconds: float) -> Any:
        redis = _redis()
        pool = redis.BlockingConnectionPool.from_url(
            self._url,
            max_connections=CONNECTIONS,
            timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=seconds,
            # A repeat is decided here, where it is known what may be repeated.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            protocol=2,
        )
        try:
            pool.connection_class(**pool.connection_kwargs)  # it connects only when it is used
        except TypeError as error:
            raise StoreError(
                f"The URL of Redis at {self.place} has a part that is not known: {error}. Correct "
                "BACKBURNER_URL."
            ) from error
        return redis.Redis(connection_pool=pool)

    def about(self) -> dict[str, Any]:
        """What the server says of itself."""
        with self._translated():
            answer: dict[str, Any] = self._client().info()
            return answer

    def close(self) -> None:
        """Close every connection. Repeatable; a later use opens others."""
        with self._opening:
            clients, self._clients = self._clients or (), None
        for client in clients:
            client.connection_pool.disconnect()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _redis().exceptions.RedisError as error:
            raise explained(error, self.place) from error


_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for server in list(_servers):
        server.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def check_version(about: dict[str, Any], place: str) -> None:
    """Raise ``StoreError`` for a Redis that is too old."""
    version = str(about.get("redis_version", ""))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        raise StoreError(
            f"Redis at {place} is of version {version}; the job store takes 5.0 or newer."
        )


def eviction_risk(about: dict[str, Any], place: str) -> str | None:
    """What to do if this Redis may throw jobs away when its memory is full; else ``None``.

    Only what may go by itself has a time to live, so that policies for such keys do no harm.
    """
    policy = str(about.get("maxmemory_policy", "noeviction"))
    if not policy.startswith("allkeys"):
        return None
    return (
        f"Redis at {place} throws jobs away when its memory is full: its maxmemory-policy is "
        f"{policy}. Set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in its "
        "configuration file); a full Redis then refuses new jobs and loses none."
    )


def explained(error: Exception, place: str) -> StoreError:
    """The error of ours for one of Redis's; each says what to do."""
    errors = _redis().exceptions
    text = str(error)
    refused = (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError)
    if isinstance(error, refused) or text.startswith(("NOAUTH", "WRONGPASS")):
        return StoreError(
            f"Redis at {place} refuses us: {text}. Put the user and password into "
            "BACKBURNER_URL, as redis://user:password@host:6379/0, and let that user run "
            "scripts on all keys that begin with {bb:."
        )
    if isinstance(error, errors.BusyLoadingError):
        return StoreBusy(f"Redis at {place} is still loading its data; try again in a moment.")
    if isinstance(error, errors.ConnectionError | errors.TimeoutError):
        return StoreBusy(
            f"Redis at {place} does not answer: {text} Start it, or correct BACKBURNER_URL."
        )
    if "BUSY Redis" in text:
        return StoreBusy(f"Redis at {place} is busy with a script; try again in a moment.")
    if isinstance(error, errors.OutOfMemoryError) or "OOM command not allowed" in text:
        return StoreFull(
            f"The memory of Redis at {place} is full. Raise its maxmemory, or keep finished "
            "jobs for a shorter time (BACKBURNER_KEEP, BACKBURNER_KEEP_BYTES)."
        )
    if isinstance(error, errors.ReadOnlyError) or "READONLY" in text:
        return StoreError(
            f"Redis at {place} is a replica and only to be read. Set BACKBURNER_URL to the primary."
        )
    if "MISCONF" in text:
        return StoreError(
            f"Redis at {place} cannot save its data and takes no more. Look into its log; "
            "often its disk is full."
        )
    if "WRONGTYPE" in text:
        return StoreCorrupt(
            f"Redis at {place} holds something of another program under our keys: {text}. "
            "Give the jobs a database of their own, or another BACKBURNER_NAME."
        )
    return StoreError(f"Redis at {place} refuses what we ask: {text}")
