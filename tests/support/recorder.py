"""What happens in a page: the bars' events, what they say, what is asked, what is forbidden."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page

from support.waiting import until

RECORDER = """
    window.heard = []; window.said = []; window.asked = window.answered = 0; window.violations = [];
    for (const name of ["job-progress", "job-done", "job-restored"])
      document.addEventListener(name, ({ detail, target }) =>
        heard.push([name, detail.version, target]));
    document.addEventListener("securitypolicyviolation", (event) =>
      violations.push(event.violatedDirective + " " + event.blockedURI));
    window.plainFetch = window.fetch;
    window.fetch = (...args) => (asked++, plainFetch(...args).finally(() => answered++));
    new MutationObserver((changes) => {
      for (const { target } of changes)
        if (target.className == "backburner-live") said.push(target.textContent);
    }).observe(document, { childList: true, subtree: true });
"""


@contextmanager
def recorded(page: Page) -> Iterator[Page]:
    """Record from the page's first moment; at the end nothing may have been forbidden."""
    page.add_init_script(RECORDER)
    yield page
    assert page.evaluate("window.violations ?? []") == []


def part(page: Page, name: str) -> Locator:
    """A part of the bar."""
    return page.locator(f".backburner-{name}")


def heard(page: Page, name: str) -> list[int]:
    """Versions of the events of this name."""
    versions: list[int] = page.evaluate(
        "(name) => heard.filter(([n]) => n == name).map(([, v]) => v)", name
    )
    return versions


def comes_true(page: Page, condition: str) -> None:
    """Wait for a fact in the page; ``wait_for_function`` would need eval, which is forbidden."""
    until(lambda: page.evaluate(condition), what=condition)
