"""Where a SQLite store can live."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_backburner.errors import StoreError
from flask_backburner.store.location import check_location, file_system

ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"


def mounts(folder: Path, *lines: str) -> str:
    path = folder / "mountinfo"
    path.write_text("\n".join([ROOT, *lines]) + "\n", encoding="utf-8")
    return str(path)


def mounted(point: str, kind: str) -> str:
    return f"40 22 0:30 / {point} rw,relatime shared:9 - {kind} server:/export rw"


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        check_location(str(tmp_path), allow_network=False)
    assert str(refused.value) == (
        f"The job store {tmp_path} is a folder, but must be a file. Set BACKBURNER_URL to a file "
        f"in it, such as sqlite:///{tmp_path}/backburner.db."
    )


def test_this_machine_says_what_a_folder_is_on(tmp_path: Path) -> None:
    check_location(str(tmp_path / "jobs.db"), allow_network=False)
    assert file_system(str(tmp_path / "jobs.db"), str(tmp_path / "missing")) is None


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "ceph"])
def test_a_network_file_system_is_refused_unless_allowed(tmp_path: Path, kind: str) -> None:
    path, known = str(tmp_path / "jobs.db"), mounts(tmp_path, mounted(str(tmp_path), kind))
    with pytest.raises(StoreError, match=rf"is on a network file system \({kind}\)") as refused:
        check_location(path, allow_network=False, mounts=known)
    assert "BACKBURNER_NETWORK_FS = True" in str(refused.value)
    check_location(path, allow_network=True, mounts=known)


@pytest.mark.parametrize("kind", ["9p", "virtiofs"])
def test_a_doubtful_file_system_is_warned_of(tmp_path: Path, kind: str) -> None:
    known = mounts(tmp_path, mounted(str(tmp_path), kind))
    with pytest.warns(UserWarning, match=f"is on {kind}, which may not share memory"):
        check_location(str(tmp_path / "jobs.db"), allow_network=False, mounts=known)


def test_the_nearest_mount_counts(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path
    known = mounts(tmp_path, mounted(str(near), "xfs"), mounted(str(far), "nfs"))
    assert file_system(str(near / "jobs.db"), known) == "xfs"
    assert file_system(str(far / "jobs.db"), known) == "nfs"
    assert file_system(str(tmp_path / "nearby" / "jobs.db"), known) == "nfs"


def test_of_two_mounts_on_one_folder_the_last_counts(tmp_path: Path) -> None:
    known = mounts(tmp_path, mounted(str(tmp_path), "nfs"), mounted(str(tmp_path), "ext4"))
    assert file_system(str(tmp_path / "jobs.db"), known) == "ext4"


@pytest.mark.parametrize(("name", "written"), [("a b", r"a\040b"), ("Büro", "Büro")])
def test_any_name_of_a_folder_is_read(tmp_path: Path, name: str, written: str) -> None:
    (tmp_path / name).mkdir()
    known = mounts(tmp_path, mounted(f"{tmp_path}/{written}", "nfs"))
    assert file_system(str(tmp_path / name / "jobs.db"), known) == "nfs"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "jobs.db").symlink_to(tmp_path / "far" / "jobs.db")
    known = mounts(tmp_path, mounted(f"{tmp_path}/far", "nfs"))
    assert file_system(str(tmp_path / "jobs.db"), known) == "nfs"
