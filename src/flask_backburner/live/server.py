"""Server: what serves this process, how many requests it may hold open, whether it is ending."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from msgspec import Struct

SPARE = 2
FOR_GREENLETS = 500
FOR_THREADS = 100


class Server(Struct, frozen=True):
    """A server: it may hold ``room`` streams and still answer other requests."""

    name: str
    room: int
    stopping: Callable[[], bool]


UNKNOWN = Server("unknown", 0, lambda: False)

_found: Server | None = None
_ended = False


def current_server(environ: Mapping[str, Any]) -> Server:
    """The server of the request that ``environ`` describes; to be asked while it is handled."""
    global _found
    if _found is None:
        _found = _find(environ)
    return _found or UNKNOWN


def serving(worker: Any) -> None:
    """Told by gunicorn's hook: this worker serves the process."""
    global _found
    _found = _gunicorn(worker)


def end_streams() -> None:
    """Told by gunicorn's hooks: the process is about to end."""
    global _ended
    _ended = True


def is_ending() -> bool:
    """Whether the server is shutting down, so that nothing may be held open."""
    return _ended or (_found is not None and _found.stopping())


def _find(environ: Mapping[str, Any]) -> Server | None:
    software = str(environ.get("SERVER_SOFTWARE", "")).lower()
    if "werkzeug.socket" in environ:
        threaded = environ["wsgi.multithread"]
        return Server("werkzeug", FOR_THREADS if threaded else 0, lambda: False)
    if software.startswith("granian"):
        return Server("granian", FOR_THREADS, lambda: False)
    worker = _caller("gunicorn.workers.base", "Worker")
    if worker is not None:
        return _gunicorn(worker)
    dispatcher = _caller("waitress.task", "ThreadedTaskDispatcher")
    if dispatcher is not None:
        room = _beside_others(len(dispatcher.threads))
        return Server("waitress", room, lambda: dispatcher.stop_count > 0)
    return None


def _gunicorn(worker: Any) -> Server:
    kinds = {kind.__name__ for kind in type(worker).__mro__}
    connections = int(worker.cfg.worker_connections)
    room = 0
    if "ThreadWorker" in kinds:
        room = _beside_others(min(worker.cfg.threads, connections))
    elif kinds & {"GeventWorker", "EventletWorker"}:
        room = min(FOR_GREENLETS, _beside_others(connections))
    return Server("gunicorn", room, lambda: not worker.alive)


def _beside_others(threads: int) -> int:
    return max(0, threads - SPARE)


def _caller(module: str, kind: str) -> Any:
    """The object of that class whose method is among the callers of this request."""
    wanted = getattr(sys.modules.get(module), kind, None)
    if wanted is None:
        return None
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        found = frame.f_locals.get("self")
        if isinstance(found, wanted):
            return found
        frame = frame.f_back
    return None


def hang_up_of(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """What tells whether the request's client has gone away, where the server lets us see it."""
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if connection is None or not hasattr(select, "POLLRDHUP"):
        return lambda: False
    poll = _poll()
    poll.register(connection.fileno(), select.POLLRDHUP)
    return lambda: bool(poll.poll(0))


def _poll() -> Any:
    """The system's poll, which never waits here; gevent's knows nothing of hang-ups."""
    gevent = sys.modules.get("gevent.monkey")
    return gevent.get_original("select", "poll")() if gevent else select.poll()


def _after_fork_in_child() -> None:
    global _found, _ended
    _found, _ended = None, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
