"""Serve the demo: ``python -m demo``, at $HOST and $PORT."""

from __future__ import annotations

import os
import socket
import sys

THREADS = 16


def main() -> None:
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "5000")
    complaint = objection(host, port)
    if complaint:
        sys.exit(complaint)
    print(f"Flask-Backburner demo: http://{bracketed(host)}:{port}", flush=True)
    serve(f"{bracketed(host)}:{port}")


def objection(host: str, port: str) -> str | None:
    """Say why the demo cannot listen there, and what to do."""
    if not (port.isdecimal() and 0 < int(port) < 65536):
        return f"PORT is {port!r}; it must be a number from 1 to 65535, as in: PORT=5001 make demo"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return (
            f"Cannot listen on {host} port {port}: {error.strerror}. "
            f"Choose another port: PORT={int(port) % 65535 + 1} make demo"
        )
    return None


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def serve(address: str) -> None:
    """Become gunicorn: one process with threads, as a small site would run it."""
    options = ["--worker-class", "gthread", "--threads", str(THREADS)]
    options += ["--config", "python:flask_backburner.gunicorn"]
    options += ["--no-control-socket", "--log-level", "warning"]
    command = [sys.executable, "-m", "gunicorn", *options, "--bind", address]
    os.execv(sys.executable, [*command, "demo.app:create_app()"])


if __name__ == "__main__":
    main()
