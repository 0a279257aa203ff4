"""Retention: finished jobs are forgotten in time, with their files, and known as forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flask_backburner import Job, JobError, JobNotFound, current_job
from flask_backburner.errors import JobForgotten
from flask_backburner.upkeep import Upkeep, forget_jobs
from support.apps import Site, site_in
from support.waiting import until

DAY = 86400.0
MEGABYTE = bytes(1 << 20)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with made(tmp_path) as site, site.app.app_context():
        yield site


def made(folder: Path, **config: Any) -> AbstractContextManager[Site]:
    return site_in(folder, **config)


def started(site: Site, end: str = "value", data: bytes = b"rows") -> Job[Any]:
    """A job that attaches a file, when it runs."""

    def run() -> Any:
        current_job.log("Hello")
        current_job.attach(data, name="rows.bin")
        if end == "error":
            raise JobError("No rows")

    run.__name__ = end
    return site.tasks.task(name=end)(run).delay()


def finished(site: Site, end: str = "value", data: bytes = b"rows") -> Job[Any]:
    job = started(site, end, data)
    site.work()
    return job


def files_of(site: Site, job: Job[Any]) -> list[str]:
    folder = Path(site.tasks.installation(site.app).settings.files, job.id)
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def forget(site: Site) -> int:
    """Do what upkeep does until there is no more to do; workers may have done some already."""
    installation = site.tasks.installation(site.app)
    forgotten = 0
    while chunk := forget_jobs(installation.store, installation.files):
        forgotten += chunk
    return forgotten


def test_a_finished_job_says_until_when_it_is_kept(site: Site) -> None:
    kept = finished(site).refresh().record
    failed = finished(site, "error").refresh().record
    assert kept.kept_until == kept.updated_at + timedelta(days=7)
    assert failed.kept_until == failed.updated_at + timedelta(days=30)
    document = site.client.get(f"/jobs/{kept.id}").get_json()
    assert document["kept_until"] > document["finished_at"]


def test_an_unfinished_job_is_kept_for_ever(site: Site) -> None:
    job = started(site)
    assert job.record.kept_until is None
    assert site.tasks.purge(older_than=0) == 0
    assert job.refresh().state == "queued"


def test_a_forgotten_job_is_gone_over_http(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_KEEP=0) as site, site.app.app_context():
        job = finished(site)
        for path in ("", "/result", "/log", "/files/rows.bin", "/fragment"):
            answer = site.client.get(f"/jobs/{job.id}{path}")
            assert (answer.status_code, answer.get_json()["title"]) == (410, "Job forgotten")
        page = site.client.get(f"/jobs/{job.id}", headers={"Accept": "text/html"})
        assert (page.status_code, page.mimetype) == (410, "text/html")
        with pytest.raises(JobForgotten):
            site.tasks.job(job.id)


def test_it_stays_gone_once_it_is_removed(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_KEEP=0) as site, site.app.app_context():
        job = finished(site)
        forget(site)
        assert site.tasks.jobs() == []
        assert site.client.get(f"/jobs/{job.id}").status_code == 410
        assert site.client.get("/jobs/" + "0" * 22).status_code == 404


def test_a_failed_job_is_kept_for_its_own_time(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_KEEP=0, BACKBURNER_KEEP_FAILED=DAY) as site:
        with site.app.app_context():
            good, bad = finished(site), finished(site, "error")
        assert site.client.get(f"/jobs/{good.id}").status_code == 410
        assert site.client.get(f"/jobs/{bad.id}").status_code == 200


def test_a_worker_forgets_by_itself_and_removes_the_files(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_KEEP=0) as site, site.app.app_context():
        gone, kept = finished(site), finished(site, "error")
        with site.working():
            until(lambda: not files_of(site, gone))
        assert site.tasks.jobs() == [kept]
        assert files_of(site, kept) == ["rows.bin"]


def test_upkeep_goes_on_while_there_is_more_to_forget(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_KEEP=0) as site, site.app.app_context():
        installation = site.tasks.installation(site.app)
        for _ in range(250):
            site.tasks.external("work").succeed()
        upkeep = Upkeep(installation.store, installation.files)

        def all_forgotten() -> bool:
            upkeep.work()
            return site.tasks.jobs() == []

        until(all_forgotten)


def test_purging_forgets_what_finished_before(site: Site) -> None:
    job = finished(site)
    assert site.tasks.purge(older_than=timedelta(hours=1)) == 0
    assert job.refresh().state == "succeeded"
    assert site.tasks.purge(older_than=0) == 1
    assert files_of(site, job) == []
    with pytest.raises(JobForgotten):
        job.refresh()


def test_purging_takes_any_number_and_every_final_state(site: Site) -> None:
    for _ in range(250):
        site.tasks.external("work").fail("No")
    site.tasks.external("work").job.cancel()
    finished(site)
    assert site.tasks.purge(older_than=0) == 252
    assert site.tasks.purge(older_than=0) == 0


@pytest.mark.parametrize("older_than", [-1, True, "1", None, float("nan")])
def test_purging_wants_seconds(site: Site, older_than: Any) -> None:
    with pytest.raises(ValueError, match=r"older_than is .*, but must be seconds"):
        site.tasks.purge(older_than)


def test_beyond_the_room_the_oldest_are_forgotten_and_no_more(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_KEEP_BYTES=3 << 20) as site, site.app.app_context():
        jobs = [finished(site, data=MEGABYTE) for _ in range(4)]
        # The fourth megabyte, and what the database itself takes, are too much.
        forget(site)
        assert [len(files_of(site, job)) for job in jobs] == [0, 0, 1, 1]
        assert site.client.get(f"/jobs/{jobs[0].id}").status_code == 410
        assert site.client.get(f"/jobs/{jobs[3].id}").status_code == 200


def test_within_the_room_nothing_is_forgotten(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_KEEP_BYTES=4 << 20) as site, site.app.app_context():
        finished(site, data=MEGABYTE)
        assert forget(site) == 0


def test_without_any_room_unfinished_jobs_stay(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_KEEP_BYTES=0) as site, site.app.app_context():
        over, running, waiting = (site.tasks.external("work") for _ in range(3))
        over.succeed()
        running.start()
        assert forget(site) == 1
        assert (running.job.refresh().state, waiting.job.refresh().state) == ("running", "queued")


def test_the_jobs_of_another_app_on_the_same_file_stay(tmp_path: Path) -> None:
    with made(tmp_path, BACKBURNER_NAME="one") as one, made(tmp_path, BACKBURNER_NAME="two") as two:
        with two.app.app_context():
            job = finished(two)
        with one.app.app_context():
            assert one.tasks.purge(older_than=0) == 0
            with pytest.raises(JobNotFound):
                one.tasks.job(job.id)
        with two.app.app_context():
            assert files_of(two, job) == ["rows.bin"]
            assert job.refresh().state == "succeeded"
