"""A crowd of clients that start jobs over HTTP, whatever becomes of the server."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from chaos.journal import note

CLIENTS = 4
SECONDS = 0.05
PAUSE = 0.06
"""Between two jobs of a client: some sixty a second, so that four threads are seldom idle."""
PATIENCE = 60.0


@contextmanager
def crowd(port: int) -> Iterator[None]:
    """Clients that start jobs one after the other, and try again where they got no answer."""
    leaving = threading.Event()
    clients = [threading.Thread(target=_start_jobs, args=(port, leaving)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        leaving.set()
        for client in clients:
            client.join()


def _start_jobs(port: int, leaving: threading.Event) -> None:
    while not leaving.wait(PAUSE):
        try:
            id = _start_one(port)
        except (OSError, http.client.HTTPException):
            continue  # nothing was acknowledged
        note("acknowledged", id, word="nap")


def _start_one(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", f"/nap?seconds={SECONDS}")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 202:
        raise http.client.HTTPException(f"{answer.status} {body!r}")
    return str(json.loads(body)["id"])
