"""What is measured over HTTP: a web process beside the jobs of its embedded worker."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from bench.table import row

SECONDS = 4
CONNECTIONS = 4
BURNING = 4
GUNICORN = ["--log-level", "warning", "--no-control-socket", "--bind"]


@contextmanager
def server(folder: str) -> Iterator[str]:
    """gunicorn as it comes: one sync process, and its embedded worker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "bench.app:app", *GUNICORN, f"127.0.0.1:{port}"],
        env=os.environ | {"BENCH_FOLDER": folder, "FLASK_BACKBURNER_DURABILITY": "normal"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _reachable(url)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _reachable(url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url + "/constant").close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} did not answer.")


def load(url: str) -> float:
    """Requests a second that wrk gets out of an address."""
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("This measurement needs wrk: apt-get install wrk")
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert found, out
    return float(found[1])


def post(url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method="POST")).close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, server(folder) as url:
        idle = row("a constant view, no job runs", "req/s", lambda: load(url + "/constant"), 3)
        post(f"{url}/burn/{BURNING}")
        name = f"a constant view while {BURNING} CPU-bound jobs run embedded"
        busy = row(name, "req/s", lambda: load(url + "/constant"), 3)
        os.unlink(os.path.join(folder, "fire"))
        print(f"{'busy / idle, the load generator on the same cores':<58} {busy / idle:>12.2f}")


if __name__ == "__main__":
    main()
