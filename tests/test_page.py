"""The page of a job, and its bar in an app's own templates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask import render_template_string
from werkzeug.test import TestResponse

from flask_backburner import BackburnerError, Job, JobError, current_job
from support.apps import Site, site_in

HTML = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        add_tasks(site)
        yield site


def add_tasks(site: Site) -> None:
    @site.tasks.task(name="shop.reports:yearly_report")
    def report(text: str) -> dict[str, str]:
        current_job.progress(1, 4, text)
        current_job.log(text)
        return {text: text}

    @site.tasks.task(name="refuse")
    def refuse(text: str) -> None:
        raise JobError(text)

    @site.tasks.task(name=EVIL)
    def evil() -> None: ...


def job_of(site: Site, task: str, *args: Any, **using: Any) -> Job[Any]:
    with site.app.app_context():
        return site.tasks._tasks[task].using(**using).delay(*args)


def page(site: Site, job: Job[Any]) -> TestResponse:
    answer = site.client.get(f"/jobs/{job.id}", headers=HTML)
    assert answer.status_code == 200
    return answer


class Elements(HTMLParser):
    """The elements of a page and the attributes of each, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def every(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


def harmless(text: str) -> bool:
    """Nothing runs but our own module, and nothing is styled inline."""
    elements = Elements(text)
    scripts = [each.get("src") or "inline" for each in elements.every("script")]
    handlers = [name for _, each in elements.found for name in each if name.startswith("on")]
    styled = [tag for tag, each in elements.found if tag == "style" or "style" in each]
    return (
        all("/jobs/static/backburner.js?v=" in script for script in scripts)
        and handlers == styled == elements.every("img") == []
    )


def test_a_page_allows_nothing_but_its_own_files(site: Site) -> None:
    answer = page(site, job_of(site, "shop.reports:yearly_report", "x"))
    policy = answer.headers["Content-Security-Policy"]
    assert policy.split("; ") == [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    assert harmless(answer.text)


def test_a_page_is_named_after_its_task(site: Site) -> None:
    text = page(site, job_of(site, "shop.reports:yearly_report", "x")).text
    assert "<title>Yearly report · queued</title>" in text
    assert "<h1>Yearly report</h1>" in text


def test_a_queue_of_its_own_is_named(site: Site) -> None:
    text = page(site, job_of(site, "refuse", "x", queue="<b>slow</b>")).text
    assert "in the queue &lt;b&gt;slow&lt;/b&gt;" in text


def test_a_job_that_is_not_done_reloads_itself_without_javascript(site: Site) -> None:
    job = job_of(site, "refuse", "x")
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page(site, job).text
    assert "refresh" not in page(site, job.cancel()).text


def test_a_job_can_be_cancelled_without_javascript(site: Site) -> None:
    job = job_of(site, "refuse", "x")
    (form,) = Elements(page(site, job).text).every("form")
    assert (form["method"], form["action"]) == ("post", f"/jobs/{job.id}/cancel")
    assert "hidden" not in form
    (form,) = Elements(page(site, job.cancel()).text).every("form")
    assert "hidden" in form


def test_a_token_against_forgery_is_sent_along(site: Site) -> None:
    site.app.jinja_env.globals["csrf_token"] = lambda: "t<k"
    text = page(site, job_of(site, "refuse", "x")).text
    assert '<input type="hidden" name="csrf_token" value="t&lt;k">' in text


def test_what_a_task_says_is_text(site: Site) -> None:
    job = job_of(site, "shop.reports:yearly_report", EVIL)
    site.work()
    text = page(site, job).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert harmless(text)


def test_why_a_job_failed_is_text(site: Site) -> None:
    job = job_of(site, "refuse", EVIL)
    site.work()
    text = page(site, job).text
    assert 'class="backburner-error" role="alert">&lt;script&gt;alert(1)' in text
    assert harmless(text)


def test_a_tasks_name_is_text(site: Site) -> None:
    assert harmless(page(site, job_of(site, EVIL)).text)


def test_a_result_is_shown_and_the_log(site: Site) -> None:
    job = job_of(site, "shop.reports:yearly_report", "all in order")
    site.work()
    text = page(site, job).text
    assert re.search(
        r'<li data-level="info"><time [^>]*>[\d:]+</time> <span>all in order</span>', text
    )
    assert "&#34;all in order&#34;: &#34;all in order&#34;" in text


def test_only_the_newest_lines_are_on_the_page(site: Site) -> None:
    @site.tasks.task(name="talk")
    def talk() -> None:
        for number in range(300):
            current_job.log(f"line {number}.")

    job = job_of(site, "talk")
    site.work()
    lines = re.findall(r"<span>(line \d+)\.</span>", page(site, job).text)
    assert (lines[0], lines[-1], len(lines)) == ("line 100", "line 299", 200)


def rendered(site: Site, template: str, **values: Any) -> str:
    with site.app.test_request_context():
        return render_template_string(template, **values)


def test_a_bar_in_an_apps_own_template_shows_the_present_state(site: Site) -> None:
    job = job_of(site, "shop.reports:yearly_report", "Reading")
    site.work()
    text = rendered(site, "{{ backburner.progress(job, label='Your report') }}", job=job.refresh())
    (bar,) = Elements(text).every("progress")
    assert (bar["value"], bar["aria-label"]) == ("1", "Your report")
    (element,) = Elements(text).every("job-progress")
    assert (element["src"], element["data-state"]) == (f"/jobs/{job.id}", "succeeded")


def test_a_bar_escapes_what_an_app_puts_into_it(site: Site) -> None:
    job = job_of(site, EVIL)
    text = rendered(site, "{{ backburner.progress(job, label=label) }}", job=job, label=EVIL)
    assert harmless(text)
    assert "&lt;script&gt;" in text


def test_the_script_takes_a_nonce(site: Site) -> None:
    text = rendered(site, "{{ backburner.script(nonce='a\"b') }}")
    assert 'nonce="a&#34;b"' in text
    (script,) = Elements(rendered(site, "{{ backburner.script() }}")).every("script")
    assert script["type"] == "module"
    assert "nonce" not in script


def test_without_routes_a_bar_is_still_shown_but_nothing_can_be_loaded(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_URL_PREFIX=None) as site:
        add_tasks(site)
        job = job_of(site, "refuse", "x")
        text = rendered(site, "{{ backburner.progress(job) }}", job=job)
        assert Elements(text).every("job-progress")[0]["data-state"] == "queued"
        with pytest.raises(BackburnerError) as refused:
            rendered(site, "{{ backburner.script() }}")
    assert str(refused.value) == (
        "backburner.script() has nothing to load, because BACKBURNER_URL_PREFIX is None and so "
        "there are no routes. Set it to a path, or leave the script out."
    )
