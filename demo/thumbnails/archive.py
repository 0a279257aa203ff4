"""Archive: the pictures in a zip file that anybody may have made, each read within limits."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from demo.formats import size
from flask_backburner import JobError

MOST_MEMBERS = 100
MOST_ENTRIES = 20_000
MEMBER_BYTES = 50_000_000
ALL_BYTES = 500_000_000
OUTSIDE = re.compile(r"/|[A-Za-z]:|(.*/)?\.\.(/|$)")
BY_SYSTEMS = re.compile(r"(.*/)?(\.[^/]*|Thumbs\.db|desktop\.ini)|__MACOSX/.*", re.IGNORECASE)
ENCRYPTED = 0x1


class Unusable(Exception):
    """A member cannot be used; the text says why."""


class Archive:
    """The files in a zip archive, read one at a time; nothing is unpacked to the disk."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        entries = [entry for entry in file.infolist() if not entry.is_dir()]
        files = [entry for entry in entries if not BY_SYSTEMS.fullmatch(member_name(entry))]
        self.members, self.beyond = files[:MOST_MEMBERS], files[MOST_MEMBERS:]
        self._bytes_left = ALL_BYTES

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """Unpack a member in memory. Raises ``Unusable``."""
        most = min(MEMBER_BYTES, self._bytes_left)
        check_outside(member, most)
        try:
            with self._file.open(member) as stream:
                data = stream.read(most + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise Unusable("it is damaged") from error
        except (NotImplementedError, RuntimeError) as error:
            raise Unusable("it is packed in a way that is not known here") from error
        self._bytes_left -= len(data)
        if len(data) > most:
            raise Unusable(too_large(most))
        return data


def check_outside(member: zipfile.ZipInfo, most: int) -> None:
    """Refuse what the archive's directory already says is of no use."""
    if OUTSIDE.match(member_name(member)):
        raise Unusable("its path leads out of the archive")
    if member.flag_bits & ENCRYPTED:
        raise Unusable("it is locked with a password")
    if member.file_size > most:
        raise Unusable(too_large(most))


def too_large(most: int) -> str:
    if most < MEMBER_BYTES:
        return f"all files together are larger than {size(ALL_BYTES)}"
    return f"it is larger than {size(MEMBER_BYTES)}"


def member_name(member: zipfile.ZipInfo) -> str:
    """Give the path in the archive, printable and with slashes whoever packed it."""
    name = "".join(filter(str.isprintable, member.filename.replace("\\", "/")))
    return name[-200:] or "unnamed"


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a zip archive. Raises ``JobError`` for what is none."""
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise JobError("This is not a zip archive, or it is damaged.") from error
    with file:
        if len(file.infolist()) > MOST_ENTRIES:
            raise JobError(f"The archive holds more than {MOST_ENTRIES:,} files.")
        yield Archive(file)


def distinct(path: PurePosixPath, taken: set[PurePosixPath]) -> PurePosixPath:
    """Give the path, with a number where another has it already, and take it."""
    number, wanted = 1, path
    while path in taken:
        number += 1
        path = wanted.with_stem(f"{wanted.stem} ({number})")
    taken.add(path)
    return path
