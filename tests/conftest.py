"""Fixtures for all tests: nothing may leak, servers and the browser are real."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from support import journal as journals
from support import latch as latches
from support import processes, skips
from support.browsing import PATIENCE, PATIENT_SCRIPT, OpenPage, PageErrors, chromium
from support.engines import EMBEDDED, Engine
from support.journal import Journal
from support.latch import Latch
from support.leaks import Snapshot
from support.rabbitmq import RabbitServer, running_rabbit
from support.redis_server import RedisServer, running_redis, share
from support.servers import Servers, session_mark


def pytest_configure() -> None:
    os.environ[processes.MARK] = session_mark()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = _refuse_skip((yield))
    # What was captured may hold any text, but goes to the reporting process as UTF-8.
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    return _refuse_skip((yield))


def _refuse_skip(report: Any) -> Any:
    if report.skipped and not hasattr(report, "wasxfail"):
        message = skips.forbid(report.nodeid, str(report.longrepr))
        if message:
            report.outcome, report.longrepr = "failed", message
    return report


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """No thread, process, socket or open file survives a test."""
    before = Snapshot.take()
    yield
    leaks = before.settle()
    assert not leaks, "the test left behind: " + "; ".join(leaks)


# Of a module, not of the session: while Playwright runs, asyncio.run() is refused in its thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once for the tests of a module."""
    with chromium() as running:
        yield running


@pytest.fixture
def page_errors() -> Iterator[PageErrors]:
    """Errors in the browser fail the test, but for those that it allows here."""
    errors = PageErrors()
    yield errors
    assert errors.unexpected() == []


@pytest.fixture
def open_page(browser: Browser, page_errors: PageErrors) -> Iterator[OpenPage]:
    """Open pages, each in a fresh context with these options (``color_scheme="dark"``, …)."""
    contexts = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        context.add_init_script(PATIENT_SCRIPT)
        page = context.new_page()
        page_errors.listen(page)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page in a browser of its own: no cookies, no cache."""
    return open_page()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests of the session, which share it by namespaces."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server, share(server):
        yield server


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ for all tests that want one."""
    with running_rabbit(tmp_path_factory.mktemp("rabbit")) as server:
        yield server


@pytest.fixture(scope="session")
def engine_kind(request: pytest.FixtureRequest) -> Engine:
    """The engine that a test names as its parameter, the embedded one if it names none."""
    name = getattr(request, "param", EMBEDDED)
    if name == EMBEDDED:
        return Engine()
    env = {"FLASK_BACKBURNER_URL": request.getfixturevalue("redis_server").url}
    if name.endswith("rabbitmq"):
        env["FLASK_BACKBURNER_BROKER_URL"] = request.getfixturevalue("rabbit_server").url
    return Engine(name, env)


@pytest.fixture
def engine(engine_kind: Engine, serve: Servers, tmp_path: Path) -> Engine:
    """The engine, with a namespace of the test's own, for all servers that are started."""
    fresh = engine_kind.fresh(tmp_path)
    serve.env.update(fresh.env)
    return fresh


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Servers]:
    """Start real servers; all of them end with the test."""
    servers = Servers(tmp_path)
    yield servers
    servers.stop()


@pytest.fixture
def make_latch(
    tmp_path: Path,
    serve: Servers,  # ends after the latches are open
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Latch]]:
    """Make latches by name; all open at the end, so that nobody waits for ever."""
    folder = tmp_path / "latches"
    folder.mkdir()
    monkeypatch.setenv(latches.FOLDER, str(folder))
    made: list[Latch] = []

    def make(name: str) -> Latch:
        made.append(Latch(folder, name))
        return made[-1]

    yield make
    for latch in made:
        latch.close()


@pytest.fixture
def latch(make_latch: Callable[[str], Latch]) -> Latch:
    """Holds jobs at ``support.latch.pass_latch()``, here and in servers started afterwards."""
    return make_latch("latch")


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """What tasks said by ``support.journal``, here and in servers started afterwards."""
    path = tmp_path / "journal"
    monkeypatch.setenv(journals.FILE, str(path))
    return Journal(path)
