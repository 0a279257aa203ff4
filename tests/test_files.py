"""Result files: attached by a task, named in the document, sent so that nothing is run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from flask_backburner import Job, JobError, current_job
from flask_backburner.files import FileFolder
from flask_backburner.record import JobFile
from support.apps import Site, site_in

UNKNOWN = "0" * 22
ROWS = b"name,rows\nJanuary,12\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


@pytest.fixture
def client(site: Site) -> FlaskClient:
    return site.client


@pytest.fixture
def folder(tmp_path: Path) -> FileFolder:
    return FileFolder(str(tmp_path / "files"))


def attached(site: Site, *files: tuple[Any, ...], end: str = "file") -> Job[Any]:
    """A job that has run and attached these files; its result is the last one."""

    @site.tasks.task(name="attach")
    def attach() -> Any:
        last = [current_job.attach(*file) for file in files][-1]
        if end == "error":
            raise JobError("No rows")
        return last if end == "file" else 1

    with site.app.app_context():
        job = attach.delay()
        site.work()
        return job.refresh()


def test_a_file_is_sent_with_its_type_and_name(site: Site, client: FlaskClient) -> None:
    job = attached(site, (ROWS, "months.csv"))
    with client.get(f"/jobs/{job.id}/files/months.csv") as answer:
        assert (answer.status_code, answer.data) == (200, ROWS)
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Content-Disposition"] == "attachment; filename=months.csv"
        assert answer.headers["Content-Length"] == "21"
        assert answer.headers["Cache-Control"] == "private, no-cache"


def test_no_browser_runs_what_is_in_a_file(site: Site, client: FlaskClient) -> None:
    job = attached(site, (b"<script>alert(1)</script>", "page.html", "text/html"))
    with client.get(f"/jobs/{job.id}/files/page.html") as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_the_document_names_the_files(site: Site, client: FlaskClient) -> None:
    job = attached(site, (b"b", "b é%.txt"), (b"aaa", "a.bin"), end="value")
    assert client.get(f"/jobs/{job.id}").get_json()["files"] == [
        {
            "name": "a.bin",
            "type": "application/octet-stream",
            "size": 3,
            "url": f"/jobs/{job.id}/files/a.bin",
        },
        {
            "name": "b é%.txt",
            "type": "text/plain",
            "size": 1,
            "url": f"/jobs/{job.id}/files/b%20%C3%A9%25.txt",
        },
    ]


def test_every_address_in_the_document_leads_to_its_file(site: Site, client: FlaskClient) -> None:
    names = ["a b.txt", "é.txt", "100%.txt", 'say "hi".txt', "a;b=c&d?e#f.txt", "日本.txt"]
    job = attached(site, *((name.encode(), name) for name in names))
    for file in client.get(f"/jobs/{job.id}").get_json()["files"]:
        with client.get(file["url"]) as answer:
            assert (answer.status_code, answer.data) == (200, file["name"].encode())


def test_a_file_that_the_task_returned_is_the_result(site: Site, client: FlaskClient) -> None:
    job = attached(site, (ROWS, "months.csv"))
    assert job.result == JobFile("months.csv", "text/csv", 21)
    assert "result" not in client.get(f"/jobs/{job.id}").get_json()
    with client.get(f"/jobs/{job.id}/result") as answer:
        assert (answer.status_code, answer.data) == (200, ROWS)
        assert answer.headers["Content-Disposition"] == "attachment; filename=months.csv"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_that_a_task_made_up_is_not_sent(
    site: Site, client: FlaskClient, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("swordfish")

    @site.tasks.task(name="forge")
    def forge() -> Any:
        current_job.attach(b"a", "a.txt")
        return JobFile("../../../secret", "text/plain", 9)

    with site.app.app_context():
        job = forge.delay()
        site.work()
    folder = site.tasks.installation(site.app).files.folder
    assert (folder / job.id / "../../../secret").exists()
    assert client.get(f"/jobs/{job.id}/result").status_code == 404


def test_the_files_of_a_failed_job_are_there(site: Site, client: FlaskClient) -> None:
    job = attached(site, (b"why", "trace.txt"), end="error")
    with client.get(f"/jobs/{job.id}/files/trace.txt") as answer:
        assert answer.data == b"why"


@pytest.mark.parametrize(
    ("asked", "part", "content_range"),
    [
        ("bytes=0-3", b"name", "bytes 0-3/21"),
        ("bytes=10-", b"January,12\n", "bytes 10-20/21"),
        ("bytes=-3", b"12\n", "bytes 18-20/21"),
        ("bytes=16-400", b"y,12\n", "bytes 16-20/21"),
    ],
)
def test_a_range_is_sent_alone(
    site: Site, client: FlaskClient, asked: str, part: bytes, content_range: str
) -> None:
    job = attached(site, (ROWS, "months.csv"))
    for part_of in ("files/months.csv", "result"):
        with client.get(f"/jobs/{job.id}/{part_of}", headers={"Range": asked}) as answer:
            assert (answer.status_code, answer.data) == (206, part)
            assert answer.headers["Content-Range"] == content_range


def test_a_range_beyond_the_end_is_refused(site: Site, client: FlaskClient) -> None:
    job = attached(site, (ROWS, "months.csv"))
    answer = client.get(f"/jobs/{job.id}/files/months.csv", headers={"Range": "bytes=21-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */21"
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("asked", ["rows=1-2", "bytes=x-y", "bytes", "=", "\x01", "bytes=5-2"])
def test_a_range_that_makes_no_sense_does_no_harm(
    site: Site, client: FlaskClient, asked: str
) -> None:
    job = attached(site, (ROWS, "months.csv"))
    with client.get(f"/jobs/{job.id}/files/months.csv", headers={"Range": asked}) as answer:
        assert answer.status_code in (200, 416)


def test_what_the_client_has_is_not_sent_again(site: Site, client: FlaskClient) -> None:
    job = attached(site, (ROWS, "months.csv"))
    for part in ("files/months.csv", "result"):
        with client.get(f"/jobs/{job.id}/{part}") as answer:
            tag = answer.headers["ETag"]
        with client.get(f"/jobs/{job.id}/{part}", headers={"If-None-Match": tag}) as answer:
            assert (answer.status_code, answer.data) == (304, b"")
            assert answer.headers["ETag"] == tag


def test_an_empty_file_is_a_file(site: Site, client: FlaskClient) -> None:
    job = attached(site, (b"", "empty.txt"))
    with client.get(f"/jobs/{job.id}/files/empty.txt") as answer:
        assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize(
    "name", ["other.txt", "MONTHS.CSV", "months.csv ", "%00", ".months.csv.new"]
)
def test_a_name_that_was_not_attached_is_not_found(
    site: Site, client: FlaskClient, name: str
) -> None:
    job = attached(site, (ROWS, "months.csv"))
    answer = client.get(f"/jobs/{job.id}/files/{name}")
    assert (answer.status_code, answer.get_json()["title"]) == (404, "No such file")


def test_a_file_that_was_only_put_there_is_not_found(site: Site, client: FlaskClient) -> None:
    job = attached(site, (ROWS, "months.csv"))
    path = site.tasks.installation(site.app).files.path(job.id, "secret.txt")
    path.write_bytes(b"secret")
    assert client.get(f"/jobs/{job.id}/files/secret.txt").status_code == 404


@pytest.mark.parametrize("name", ["..%2F..%2Fbackburner.db", "..%2fmonths.csv", "%2e%2e", "a%2Fb"])
def test_nothing_outside_the_jobs_folder_is_found(
    site: Site, client: FlaskClient, name: str
) -> None:
    job = attached(site, (ROWS, "months.csv"))
    assert client.get(f"/jobs/{job.id}/files/{name}").status_code == 404


def test_the_file_of_another_job_is_not_found(site: Site, client: FlaskClient) -> None:
    attached(site, (ROWS, "months.csv"))
    with site.app.app_context():
        other = site.tasks.external("other")
    assert client.get(f"/jobs/{other.id}/files/months.csv").status_code == 404


def test_a_file_that_was_deleted_by_hand_is_not_found_and_said(
    site: Site, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    job = attached(site, (ROWS, "months.csv"))
    site.tasks.installation(site.app).files.remove(job.id)
    for part in ("files/months.csv", "result"):
        assert client.get(f"/jobs/{job.id}/{part}").status_code == 404
    assert f"The file months.csv of job {job.id} is gone" in caplog.text


def test_the_file_of_an_unknown_job_is_not_found(client: FlaskClient) -> None:
    answer = client.get(f"/jobs/{UNKNOWN}/files/months.csv")
    assert (answer.status_code, answer.get_json()["title"]) == (404, "No such job")


def test_a_file_of_the_same_name_replaces_the_first(site: Site, client: FlaskClient) -> None:
    job = attached(site, (b"old", "a.txt"), (b"newer", "a.txt"))
    assert job.files == [JobFile("a.txt", "text/plain", 5)]
    with client.get(f"/jobs/{job.id}/files/a.txt") as answer:
        assert answer.data == b"newer"


def test_a_file_on_disk_is_copied_under_its_own_name(folder: FileFolder, tmp_path: Path) -> None:
    source = tmp_path / "chart.png"
    source.write_bytes(b"png")
    assert folder.attach("job", source, None, None) == JobFile("chart.png", "image/png", 3)
    source.write_bytes(b"changed later")
    assert folder.path("job", "chart.png").read_bytes() == b"png"
    assert os.listdir(folder.folder / "job") == ["chart.png"]


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("a.csv", "text/csv"),
        ("a.zip", "application/zip"),
        ("a.csv.gz", "application/gzip"),
        ("a.tar.xz", "application/x-xz"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_name_tells_the_type(folder: FileFolder, name: str, type: str) -> None:
    assert folder.attach("job", b"", name, None).type == type


@pytest.mark.parametrize(
    "name", ["", ".hidden", "..", "a/b", "a\\b", "a\nb", "a\0b", "é" * 101, "a\u202eb", 3]
)
def test_what_cannot_be_a_name_is_refused(folder: FileFolder, name: Any) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a result file"):
        folder.attach("job", b"", name, None)
    assert not folder.folder.exists()


@pytest.mark.parametrize("type", ["", "text", "text/csv\r\nX: 1", "a/b; c", "é/b", 3])
def test_what_cannot_be_a_type_is_refused(folder: FileFolder, type: Any) -> None:
    with pytest.raises(ValueError, match="is no media type"):
        folder.attach("job", b"", "a.txt", type)
    assert not folder.folder.exists()


@pytest.mark.parametrize("type", ["text/csv", "text/csv; charset=latin-1", "image/svg+xml"])
def test_a_type_of_your_own_is_kept(folder: FileFolder, type: str) -> None:
    assert folder.attach("job", b"", "a.txt", type).type == type


def test_bytes_need_a_name(folder: FileFolder) -> None:
    with pytest.raises(ValueError, match="Bytes need a name"):
        folder.attach("job", b"", None, None)


def test_a_source_that_is_not_there_leaves_nothing(folder: FileFolder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        folder.attach("job", tmp_path / "missing.txt", None, None)
    assert list(folder.folder.rglob("*.txt")) == []


def test_removing_is_repeatable(folder: FileFolder) -> None:
    folder.attach("job", b"", "a.txt", None)
    folder.remove("job")
    folder.remove("job")
    assert os.listdir(folder.folder) == []
