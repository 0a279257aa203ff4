"""The program in the README does what the README says, word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests

from support.servers import Served, Servers
from support.waiting import until

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def site(tmp_path: Path, serve: Servers) -> Served:
    """The README's first program under ``flask run``."""
    program = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert program
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "app.py").write_text(program[1])
    return serve.flask_run(folder, "app")


def document(url: str) -> dict[str, Any]:
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_a_program_gets_the_job_and_where_to_ask(site: Served) -> None:
    started = requests.post(f"{site.url}/exports/2026", timeout=60)
    assert started.status_code == 202
    url = site.url + started.headers["Location"]
    assert started.headers["Location"] == f"/jobs/{started.json()['id']}"
    done = until(lambda: (found := document(url))["done"] and found, what="the end of the job")
    assert done["state"] == "succeeded"
    assert done["result"] == {"rows": 1234}
    assert done["progress"]["current"] == 12


def test_a_browser_gets_the_jobs_page(site: Served) -> None:
    page = requests.post(f"{site.url}/exports/2026", headers={"Accept": "text/html"}, timeout=60)
    assert [answer.status_code for answer in page.history] == [303]
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<job-progress" in page.text
