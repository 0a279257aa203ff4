"""How many watchers a server may hold: whatever it is, its other requests are answered."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from apps import theatre
from werkzeug.test import EnvironBuilder

from flask_backburner import Backburner
from flask_backburner.live.budget import Budget
from flask_backburner.live.server import UNKNOWN, Server, current_server
from support.apps import site_in
from support.servers import Served, Servers
from support.streams import Crowd, events, opened
from support.waiting import until

APP = "apps.theatre:app"
A_STREAM = 12.0  # seconds that each lasts at least while nobody ends it
TWO = Server("two", 2, lambda: False)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backburner]:
    monkeypatch.setenv(theatre.FOLDER, str(tmp_path / "house"))
    with theatre.opened() as tasks:
        yield tasks


def test_no_more_are_let_in_than_the_server_has_room_for() -> None:
    budget = Budget(None)
    one, two = budget.take(TWO), budget.take(TWO)
    assert one is not None
    assert two is not None
    assert (budget.take(TWO), budget.held) == (None, 2)
    with one:
        assert budget.take(TWO) is None
    with two, one:
        assert budget.held == 1
    assert budget.held == 0


def test_what_the_configuration_says_counts_more_than_the_server() -> None:
    assert Budget(0).take(TWO) is None
    slot = Budget(1).take(UNKNOWN)
    assert slot is not None
    with slot:
        assert Budget(1).take(UNKNOWN) is None


def test_the_apps_of_a_process_share_its_threads() -> None:
    slot = Budget(1).take(TWO)
    assert slot is not None
    with slot:
        assert Budget(1).take(TWO) is None


def test_a_forked_child_has_the_whole_budget() -> None:
    slot = Budget(1).take(TWO)
    assert slot is not None
    with slot:
        child = os.fork()
        if child == 0:
            os._exit(int(Budget(1).take(TWO) is None))
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("environ", "room"),
    [
        ({}, 0),
        ({"SERVER_SOFTWARE": "Granian"}, 100),
        ({"SERVER_SOFTWARE": "Unheard/1.0"}, 0),
    ],
    ids=["none", "granian", "unknown"],
)
def test_a_server_is_known_by_what_it_says(environ: dict[str, str], room: int) -> None:
    child = os.fork()  # what a process has found out once it keeps
    if child == 0:
        os._exit(current_server({**EnvironBuilder().get_environ(), **environ}).room)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == room


def test_without_room_a_stream_tells_the_state_and_when_to_come_again(tmp_path: Path) -> None:
    with site_in(tmp_path) as site, site.app.app_context():
        work = site.tasks.external("play")
        work.log("one")
        path = f"/jobs/{work.id}/events"
        assert told(site.client.get(path)) == [("job", None), ("retry", 300)]
        again = site.client.get(path, headers={"Last-Event-ID": "1.0"})
        assert told(again) == [("job", None), ("log", None), ("retry", 300)]
        work.succeed()
        assert told(site.client.get(path)) == [("job", None), ("done", None)]


def told(answer: Any) -> list[tuple[str, int | None]]:
    assert answer.status_code == 200
    return [(event.name, event.retry) for event in events([answer.data])]


Start = Callable[[Servers, Path], Served]


def gunicorn(*args: str) -> Start:
    return lambda serve, folder: serve.gunicorn(folder, APP, *args)


def waitress(*args: str) -> Start:
    return lambda serve, folder: serve.waitress(folder, APP, *args)


def flask_run(*args: str) -> Start:
    return lambda serve, folder: serve.flask_run(folder, APP, *args)


@pytest.mark.parametrize(
    ("start", "name", "room", "watchers"),
    [
        (gunicorn(), "gunicorn", 0, 11),
        (gunicorn("--threads", "4"), "gunicorn", 2, 14),
        (gunicorn("-k", "gthread", "--threads", "1"), "gunicorn", 0, 11),
        (gunicorn("--threads", "50"), "gunicorn", 48, 60),
        (gunicorn("-k", "gevent"), "gunicorn", 500, 40),
        (gunicorn("-k", "gevent", "--preload"), "gunicorn", 500, 40),
        (waitress(), "waitress", 2, 14),
        (flask_run(), "werkzeug", 100, 40),
        (flask_run("--without-threads"), "werkzeug", 0, 11),
    ],
    ids=[
        "sync",
        "gthread-4",
        "gthread-1",
        "gthread-50",
        "gevent",
        "gevent-preload",
        "waitress",
        "flask-run",
        "flask-run-one",
    ],
)
def test_with_more_watchers_than_threads_other_requests_are_answered_within_a_second(
    house: Backburner,
    serve: Servers,
    tmp_path: Path,
    start: Start,
    name: str,
    room: int,
    watchers: int,
) -> None:
    served = start(serve, tmp_path)
    work = house.external("play")
    with Crowd(f"{served.url}/jobs/{work.id}/events", watchers) as crowd:
        crowd.all_served()
        longest = max(seconds_for(f"{served.url}/constant") for _ in range(10))
        work.progress(1, 2)
        seats = requests.get(f"{served.url}/seats", timeout=60).json()
        work.succeed()
    assert (seats["server"], seats["room"]) == (name, room)
    assert seats["held"] <= min(room, watchers)
    assert longest < A_STREAM
    until(lambda: held(served) == 0, what="the end of all streams")
    assert "Traceback" not in served.output()


def seconds_for(url: str) -> float:
    began = time.monotonic()
    assert requests.get(url, timeout=30).text == "constant"
    return time.monotonic() - began


def held(served: Served) -> int:
    return int(requests.get(f"{served.url}/seats", timeout=60).json()["held"])


@pytest.mark.parametrize(
    "start",
    [gunicorn("--threads", "4"), gunicorn("-k", "gevent"), flask_run()],
    ids=["gthread", "gevent", "flask-run"],
)
def test_who_hangs_up_makes_room_for_another(
    house: Backburner, serve: Servers, tmp_path: Path, start: Start
) -> None:
    served = start(serve, tmp_path)
    work = house.external("play")
    url = f"{served.url}/jobs/{work.id}/events"
    with opened(url) as one, opened(url) as two:
        assert [next(one).retry, next(two).retry] == [1000, 1000]
        assert held(served) == 2
    until(lambda: held(served) == 0, what="the server to notice")


def test_who_hangs_up_unseen_is_noticed_at_the_next_write(
    house: Backburner, serve: Servers, tmp_path: Path
) -> None:
    served = serve.waitress(tmp_path, APP)
    work = house.external("play")
    with opened(f"{served.url}/jobs/{work.id}/events") as stream:
        next(stream)
        assert held(served) == 1

    def freed() -> bool:
        work.progress()
        work.log("a change")
        return held(served) == 0

    until(freed, what="the server to notice")


def test_a_client_that_reads_nothing_keeps_its_own_room_only(
    house: Backburner, serve: Servers, tmp_path: Path
) -> None:
    served = serve.gunicorn(tmp_path, APP, "--threads", "4")
    work = house.external("play")
    with socket.create_connection(("127.0.0.1", served.port), 5.0) as lazy:
        lazy.sendall(f"GET /jobs/{work.id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: held(served) == 1, what="the stream")
        for number in range(100):
            work.log(f"{number} " + "." * 8000)
        assert seconds_for(f"{served.url}/constant") < A_STREAM
    until(lambda: held(served) == 0, what="the server to notice")
