"""What one app has: a store that is opened when needed, and words where it cannot be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from flask_backburner import StoreError
from support.apps import Site, site_in


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path / "not" / "there" / "yet") as site:
        yield site


def test_the_store_is_made_when_it_is_first_used(site: Site) -> None:
    installation = site.tasks.installation(site.app)
    folder = Path(site.app.instance_path)
    assert not folder.exists()
    assert installation.store.counters() == {}
    assert (folder / "backburner.db").exists()


def test_threads_that_come_at_once_share_one_store(site: Site) -> None:
    installation = site.tasks.installation(site.app)
    barrier, found = threading.Barrier(8), []

    def look() -> None:
        barrier.wait()
        found.append(installation.store)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_addresses_follow_where_the_app_is_mounted(site: Site) -> None:
    installation = site.tasks.installation(site.app)
    assert installation.base() == "/jobs"
    with site.app.test_request_context("/", base_url="http://localhost/shop/"):
        assert installation.base() == "/shop/jobs"
    with Flask("other").test_request_context("/"):
        assert installation.base() == "/jobs"


def test_a_store_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").mkdir()
    with (
        site_in(tmp_path, BACKBURNER_URL="sqlite:///jobs.db") as site,
        pytest.raises(StoreError) as refused,
    ):
        site.tasks.jobs()
    assert str(refused.value) == (
        f"The job store {tmp_path}/jobs.db is a folder, but must be a file. Set BACKBURNER_URL to "
        f"a file in it, such as sqlite:///{tmp_path}/jobs.db/backburner.db."
    )


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        site_in(tmp_path, BACKBURNER_URL="sqlite:///file/jobs.db") as site,
        pytest.raises(StoreError) as refused,
    ):
        site.tasks.jobs()
    assert str(refused.value) == (
        f"The folder {tmp_path}/file for the job store cannot be made: [Errno 17] File exists: "
        f"'{tmp_path}/file'. Make it, or set BACKBURNER_URL to a file in a folder that can be "
        "written."
    )
