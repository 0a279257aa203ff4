"""Result files of jobs, each job's in a folder of its own."""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
import time
from pathlib import Path

from .ids import is_id
from .record import JobFile

NAME_BYTES = 200
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.:+-]+)*", re.ASCII)
_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
UNKNOWN_TYPE = "application/octet-stream"


class FileFolder:
    """Where the files of an app's jobs are; made when the first is written."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def path(self, id: str, name: str) -> Path:
        """Where a job's file is, or is to be."""
        return self.folder / id / name

    def attach(
        self, id: str, source: bytes | str | os.PathLike[str], name: str | None, type: str | None
    ) -> JobFile:
        """Copy a file, or write bytes, into the job's folder; whole and durable, or not at all.

        Raises ``ValueError`` for a name that cannot be one, and ``OSError``.
        """
        if name is None:
            if isinstance(source, bytes):
                raise ValueError("Bytes need a name: current_job.attach(data, name='report.csv').")
            name = os.path.basename(os.fspath(source))
        _check_name(name)
        if type is not None:
            _check_type(type)
        path = self.path(id, name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{name}.new")
        if isinstance(source, bytes):
            draft.write_bytes(source)
        else:
            shutil.copyfile(source, draft)
        publish(draft, path)
        return JobFile(name, type or _type_of(name), path.stat().st_size)

    def ids(self, idle: float) -> list[str]:
        """The jobs that have a folder which nobody has changed for so many seconds."""
        latest = time.time() - idle
        try:
            entries = list(os.scandir(self.folder))
        except FileNotFoundError:
            return []
        return [
            entry.name
            for entry in entries
            if is_id(entry.name) and entry.stat(follow_symlinks=False).st_mtime < latest
        ]

    def remove(self, id: str) -> None:
        """Remove all files of a job. Repeatable."""
        shutil.rmtree(self.folder / id, ignore_errors=True)


def publish(draft: Path, path: Path) -> None:
    """Give a file that is written its name, once its content is on the device; durable then."""
    _sync(draft, os.O_RDWR)
    os.replace(draft, path)
    if os.name == "posix":  # elsewhere folders cannot be opened
        _sync(path.parent, os.O_RDONLY)
        _sync(path.parent.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _type_of(name: str) -> str:
    """The media type of the file as it is: that of a packed file is not what is packed in it."""
    guessed, packing = mimetypes.guess_type(name)
    if packing:
        return _PACKED.get(packing, UNKNOWN_TYPE)
    return guessed or UNKNOWN_TYPE


def _check_type(type: str) -> None:
    if not isinstance(type, str) or not _TYPE.fullmatch(type):
        raise ValueError(f"{type!r} is no media type. Use one such as 'text/csv'.")


def _check_name(name: str) -> None:
    if (
        not isinstance(name, str)
        or not name
        or name.startswith(".")
        or any(char in "/\\" or not char.isprintable() for char in name)
        or len(name.encode(errors="replace")) > NAME_BYTES
    ):
        raise ValueError(
            f"{name!r} cannot be the name of a result file. Use up to {NAME_BYTES} bytes of "
            "printable text without slashes that does not begin with a dot, such as 'report.csv'."
        )
