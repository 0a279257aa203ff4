"""The module for gunicorn, and servers that stop or reload while streams are open."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from apps import theatre, workshop

from flask_backburner import Backburner
from support.journal import Journal
from support.servers import Served, Servers
from support.streams import Event, opened
from support.waiting import until

APP = "apps.theatre:app"
A_STREAM = 12.0  # seconds that each lasts at least while nobody ends it
MODULE = ["-c", "python:flask_backburner.gunicorn"]
THREADS = ["--threads", "4"]
GREENLETS = ["-k", "gevent"]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backburner]:
    monkeypatch.setenv(theatre.FOLDER, str(tmp_path / "house"))
    with theatre.opened() as tasks:
        yield tasks


def seconds_to_stop(served: Served, number: int = signal.SIGTERM) -> float:
    began = time.monotonic()
    served.terminate(number)
    assert served.wait(90.0) in (0, -number)
    return time.monotonic() - began


@pytest.mark.parametrize(
    "args",
    [THREADS, [*THREADS, *MODULE], GREENLETS, [*GREENLETS, *MODULE]],
    ids=["gthread", "gthread-module", "gevent", "gevent-module"],
)
def test_a_server_with_open_streams_stops_as_one_without(
    house: Backburner, serve: Servers, tmp_path: Path, args: list[str]
) -> None:
    quiet = serve.gunicorn(tmp_path, APP, *args)
    served = serve.gunicorn(tmp_path, APP, *args)
    work = house.external("play")
    with ExitStack() as stack:
        url = f"{served.url}/jobs/{work.id}/events"
        streams = [stack.enter_context(opened(url)) for _ in range(2)]
        began(streams)
        with ThreadPoolExecutor(2) as both:
            usual, busy = both.map(seconds_to_stop, [quiet, served])
        assert busy < usual + A_STREAM
        assert [list(stream) for stream in streams] == [[], []]
    assert "Traceback" not in served.output()


def began(streams: list[Iterator[Event]]) -> None:
    for stream in streams:
        assert [next(stream).name, next(stream).name] == ["retry", "job"]


@pytest.mark.parametrize("args", [THREADS, [*THREADS, *MODULE], GREENLETS])
def test_an_interrupt_ends_the_streams_too(
    house: Backburner, serve: Servers, tmp_path: Path, args: list[str]
) -> None:
    served = serve.gunicorn(tmp_path, APP, *args)
    work = house.external("play")
    with opened(f"{served.url}/jobs/{work.id}/events") as stream:
        began([stream])
        assert seconds_to_stop(served, signal.SIGINT) < A_STREAM


@pytest.mark.parametrize("server", ["waitress", "flask_run"])
def test_other_servers_stop_at_once_as_they_always_do(
    house: Backburner, serve: Servers, tmp_path: Path, server: str
) -> None:
    served: Served = getattr(serve, server)(tmp_path, APP)
    work = house.external("play")
    with opened(f"{served.url}/jobs/{work.id}/events") as stream:
        began([stream])
        assert seconds_to_stop(served) < A_STREAM


def test_a_waiting_request_is_answered_when_the_server_stops(
    house: Backburner, serve: Servers, tmp_path: Path
) -> None:
    served = serve.gunicorn(tmp_path, APP, *THREADS, env={"FLASK_BACKBURNER_MAX_WAIT": "60"})
    work = house.external("play")
    url = f"{served.url}/jobs/{work.id}"
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(requests.get, url, headers={"Prefer": "wait=50"}, timeout=60)
        until(lambda: seats(served) == 1, what="the waiting request")
        assert seconds_to_stop(served) < A_STREAM
        assert answer.result().json()["state"] == "queued"


def seats(served: Served) -> int:
    return int(requests.get(f"{served.url}/seats", timeout=60).json()["held"])


def test_a_reload_ends_the_streams_and_the_next_worker_goes_on(
    house: Backburner, serve: Servers, tmp_path: Path
) -> None:
    served = serve.gunicorn(tmp_path, APP, *THREADS, *MODULE)
    work = house.external("play")
    url = f"{served.url}/jobs/{work.id}/events"
    with opened(url) as stream:
        began([stream])
        old = set(served.pids())
        served.terminate(signal.SIGHUP)
        assert list(stream) == []
    until(lambda: len(old & set(served.pids())) == 1, what="the end of the old worker")
    with opened(url) as stream:
        began([stream])


# Without a request


def test_with_the_module_jobs_run_before_the_first_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Servers, journal: Journal
) -> None:
    monkeypatch.setenv(workshop.FOLDER, str(tmp_path / "shop"))
    with workshop.opened():
        job = workshop.mark.delay()
        served = serve.gunicorn(tmp_path, "apps.workshop:app", *MODULE)
        workshop.ended(job)
        assert "GET" not in served.output()


def test_the_module_can_be_part_of_a_configuration_of_ones_own(
    house: Backburner, serve: Servers, tmp_path: Path
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "from flask_backburner.gunicorn import *\nthreads = 7\n"
    )
    served = serve.gunicorn(tmp_path, APP)
    assert requests.get(f"{served.url}/seats", timeout=60).json()["room"] == 5


def test_the_module_does_no_harm_to_an_app_without_jobs(serve: Servers, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'plain']\n"
    )
    served = serve.gunicorn(tmp_path, "plain:app", *MODULE)
    assert requests.get(served.url, timeout=60).text == "plain"
