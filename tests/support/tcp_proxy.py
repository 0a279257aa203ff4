"""A TCP proxy that stalls and cuts connections when a test says so."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class TcpProxy:
    """Stands before a server on loopback; its one thread carries the bytes to and fro.

    A connection that had something to carry while the proxy was ``stalled`` never carries
    anything again, and nobody is told: as where something on the way has forgotten it.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._others: dict[socket.socket, socket.socket] = {}
        self._answers: set[socket.socket] = set()
        self._mute: set[socket.socket] = set()
        self._cuts = 0
        self.stalled = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="proxy")
        self._thread.start()

    def cut_answers(self, times: int) -> None:
        """Cut the connection instead of giving the next answers."""
        self._cuts = times

    def _serve(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.02):
                if key.fileobj is self._listener:
                    self._connect(self._listener.accept()[0])
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._others:
                    self._carry(key.fileobj)
        for end in list(self._others):
            end.close()
        self._selector.close()
        self._listener.close()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        self._others |= {client: server, server: client}
        self._answers.add(server)
        for end in (client, server):
            self._selector.register(end, selectors.EVENT_READ)

    def _carry(self, end: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            data = end.recv(1 << 16)
        if data and self.stalled.is_set():
            self._mute |= {end, self._others[end]}
        if data and end in self._mute:
            return
        if data and end in self._answers and self._cuts:
            self._cuts -= 1
            data = b""
        if not data:
            return self._cut(end)
        try:
            self._others[end].sendall(data)
        except OSError:
            self._cut(end)

    def _cut(self, end: socket.socket) -> None:
        for each in (end, self._others[end]):
            self._selector.unregister(each)
            del self._others[each]
            self._answers.discard(each)
            self._mute.discard(each)
            each.close()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()


@contextmanager
def proxy_of(port: int) -> Iterator[TcpProxy]:
    """A proxy of the server on this port."""
    proxy = TcpProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
