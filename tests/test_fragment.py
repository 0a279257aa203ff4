"""The fragment for htmx: a bar that replaces itself until the job is done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_backburner.external import ExternalJob
from support.apps import Site, site_in


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site, site.app.app_context():
        yield site


@pytest.fixture
def work(site: Site) -> ExternalJob:
    return site.tasks.external("transcode")


def test_it_asks_for_the_next_one_and_is_replaced_by_it(site: Site, work: ExternalJob) -> None:
    work.progress(1, 4, "Packing")
    answer = site.client.get(f"/jobs/{work.id}/fragment")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert re.match(
        f'<div class="backburner-fragment" hx-get="/jobs/{work.id}/fragment" '
        'hx-trigger="load delay:(300|1000)ms" hx-target="this" hx-swap="outerHTML">',
        answer.text,
    )
    assert re.search(r'<progress [^>]*value="0.25"', answer.text)
    assert "Packing" in answer.text
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_the_last_one_asks_no_more(site: Site, work: ExternalJob, end: str) -> None:
    {"succeeded": work.succeed, "failed": lambda: work.fail("No"), "cancelled": work.job.cancel}[
        end
    ]()
    answer = site.client.get(f"/jobs/{work.id}/fragment")
    assert answer.status_code == 286
    assert "hx-" not in answer.text
    assert f'data-state="{end}"' in answer.text


def test_it_is_harmless_whatever_the_task_says(site: Site, work: ExternalJob) -> None:
    work.progress(message="</div><script>alert(1)</script>\" '")
    text = site.client.get(f"/jobs/{work.id}/fragment").text
    assert "<script>" not in text
    assert text.count("</div>") == 1


def test_below_another_root_it_asks_there(site: Site, work: ExternalJob) -> None:
    answer = site.client.get(
        f"/jobs/{work.id}/fragment", environ_overrides={"SCRIPT_NAME": "/shop"}
    )
    assert f'hx-get="/shop/jobs/{work.id}/fragment"' in answer.text


def test_htmx_is_not_told_to_go_on_for_an_unknown_job(site: Site) -> None:
    answer = site.client.get(f"/jobs/{'0' * 22}/fragment", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
