"""The background job of an album: each picture of an archive made small."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from demo.tasks import tasks
from demo.thumbnails.archive import (
    MOST_MEMBERS,
    Archive,
    Unusable,
    distinct,
    member_name,
    opened,
)
from demo.thumbnails.picture import Small, make_small
from flask_backburner import JobError, current_job

DOWNLOAD = "thumbnails.zip"


@dataclass(frozen=True)
class Thumbnail:
    """A small picture: its name in the archive and the job's file that it is."""

    name: str
    file: str
    size: tuple[int, int]
    original: tuple[int, int]


@dataclass(frozen=True)
class LeftOut:
    """A file in the archive that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Album:
    """What came out of an archive."""

    name: str
    thumbnails: list[Thumbnail]
    left_out: list[LeftOut]


@tasks.task
def make_thumbnails(source: Path, name: str, side: int) -> Album:
    """Make the pictures in a zip small: each a file of the job, and all in a zip again."""
    album = Album(name, [], [])
    packed = io.BytesIO()
    with opened(source) as archive, zipfile.ZipFile(packed, "w") as download:
        fill(album, archive, download, side)
    if not album.thumbnails:
        raise JobError(complaint(album))
    current_job.attach(packed.getvalue(), name=DOWNLOAD)
    current_job.log(f"{len(album.thumbnails)} made small, {len(album.left_out)} left out")
    return album


def fill(album: Album, archive: Archive, download: zipfile.ZipFile, side: int) -> None:
    taken: set[PurePosixPath] = set()
    for member in current_job.track(archive.members, message=f"Resizing {album.name}"):
        name = member_name(member)
        try:
            small = make_small(archive.read(member), side)
        except Unusable as reason:
            leave_out(album, name, str(reason))
            continue
        path = distinct(PurePosixPath(name).with_suffix(small.suffix), taken)
        download.writestr(str(path), small.data)
        keep(album, name, small)
    for member in archive.beyond[:MOST_MEMBERS]:
        leave_out(album, member_name(member), f"it comes after the first {MOST_MEMBERS}")


def keep(album: Album, name: str, small: Small) -> None:
    """Attach the picture at once, so that it can be seen while the others are made."""
    number = len(album.thumbnails) + 1
    file = current_job.attach(small.data, name=f"{number:03}{small.suffix}")
    album.thumbnails.append(Thumbnail(name, file.name, small.size, small.original))
    current_job.log(f"{name}: {dimensions(small.original)} to {dimensions(small.size)}")


def leave_out(album: Album, name: str, reason: str) -> None:
    album.left_out.append(LeftOut(name, reason))
    current_job.log(f"{name} left out: {reason}", "warning")


def complaint(album: Album) -> str:
    if not album.left_out:
        return "The archive is empty. Choose one with pictures in it."
    first = album.left_out[0]
    return (
        "There is no usable picture in the archive. "
        f"Its first file, {first.name}, was left out: {first.reason}."
    )


def dimensions(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
