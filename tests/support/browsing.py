"""A real browser: Chromium through Playwright, and a page that hears its own errors."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PATIENCE = 60.0
"""So many seconds what a page is expected to show may take."""

PATIENT_SCRIPT = """
    const soon = window.setTimeout;
    window.setTimeout = (what, wait, ...rest) => soon(what, wait == 2500 ? 12500 : wait, ...rest);
"""
"""A stream's first word, for which pages wait 2.5 s, may take five times as long: tests run on
machines that have much else to do."""

OpenPage = Callable[..., Page]
"""What the fixture ``open_page`` gives: it takes the options of a browser's context."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the machine's own Chromium; nothing is downloaded."""
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class PageErrors:
    """What the browser's console complained of, without what the test expects."""

    def __init__(self) -> None:
        self._allowed = [r"/favicon\.ico\)$"]  # the browser asks for it by itself
        self._heard: list[str] = []

    def allow(self, pattern: str) -> None:
        """Errors that match this regular expression belong to the test."""
        self._allowed.append(pattern)

    def listen(self, page: Page) -> None:
        """Hear the page's console errors and uncaught exceptions."""
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)

    def unexpected(self) -> list[str]:
        """What was heard and not allowed."""
        return [
            heard
            for heard in self._heard
            if not any(re.search(pattern, heard) for pattern in self._allowed)
        ]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._heard.append(f"{message.text} ({message.location.get('url', '')})")

    def _on_error(self, error: Error) -> None:
        self._heard.append(f"{error.name}: {error.message}\n{error.stack}")
