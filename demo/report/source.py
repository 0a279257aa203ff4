"""Source: the rows of a CSV file of any size, the broken ones with their line and what is wrong."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flask_backburner import JobError

SAMPLE_BYTES = 64 * 1024
LONGEST_LINE = 1_000_000
MOST_COLUMNS = 500
DELIMITERS = ",;\t|"
NUMBER = re.compile(r"-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,2})?", re.ASCII)
DATE = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
UNDECODED = re.compile("[\udc80-\udcff]")
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or a zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "compressed with gzip",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"SQLite format 3": "a database",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be used: ``line`` is where it begins."""

    line: int
    reason: str


class LineTooLong(Exception):
    """A line does not end where lines of text end."""


class Lines:
    """The lines of a text, numbered from 1; all but the first of a record can be given back."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream
        self._record: list[str] = []
        self._again: deque[str] = deque()
        self.number = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._stream.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self._record.append(line)
        if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
            self._skip_the_rest()
            raise LineTooLong
        return line

    def _skip_the_rest(self) -> None:
        while (more := self._stream.readline(LONGEST_LINE)) and not more.endswith(("\n", "\r")):
            pass

    def begin_record(self) -> None:
        self._record.clear()

    def give_back(self) -> None:
        later = self._record[1:]
        self._again.extendleft(reversed(later))
        self.number -= len(later)

    def flaw(self) -> str | None:
        """Say which character of the record no text has."""
        return next(filter(None, map(flaw, self._record)), None)

    def wording(self, error: csv.Error) -> str:
        if "expected after" in str(error):
            return "a closing quote is not followed by the next value"
        if len(self._record) > 1 or "end of data" in str(error):
            return "a quote is opened and not closed"
        return f"a value is longer than {csv.field_size_limit():,} characters"


def flaw(line: str) -> str | None:
    if "\0" in line:
        return "it holds a NUL character"
    if not line.isascii() and (byte := UNDECODED.search(line)):
        return f"the byte 0x{ord(byte[0]) - 0xDC00:02X} is not text in this encoding"
    return None


class Source:
    """Iterate over a CSV file's rows below its header: lists of cells, or ``Broken``.

    Opening it finds the delimiter and the header row, or raises ``JobError``. An unclosed
    quote costs its own line only. Never more than a record is in memory.
    """

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        self.size = path.stat().st_size
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
        check_is_text(sample)
        self.encoding = "utf-8-sig" if sample.startswith(b"\xef\xbb\xbf") else encoding
        self.delimiter = find_delimiter(sample.decode(self.encoding, "surrogateescape"))
        self._file = path.open("rb")
        self._lines = Lines(
            io.TextIOWrapper(self._file, self.encoding, "surrogateescape", newline="")
        )
        self._reader = csv.reader(self._lines, delimiter=self.delimiter, strict=True)
        self._width: int | None = None
        try:
            self.columns = self._read_header()
        except JobError:
            self.close()
            raise
        self._width = len(self.columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def bytes_read(self) -> int:
        return self._file.tell()

    def __iter__(self) -> Iterator[list[str] | Broken]:
        while (record := self._next()) is not None:
            if record:
                yield record

    def _next(self) -> list[str] | Broken | None:
        self._lines.begin_record()
        line = self._lines.number + 1
        try:
            cells = next(self._reader, None)
        except csv.Error as error:
            reason = self._lines.flaw() or self._lines.wording(error)
            self._lines.give_back()
            return Broken(line, reason)
        except LineTooLong:
            return Broken(line, f"it is longer than {LONGEST_LINE:,} characters")
        flaw = self._lines.flaw() or self._misfit(cells)
        return Broken(line, flaw) if flaw else cells

    def _misfit(self, cells: list[str] | None) -> str | None:
        if not cells or self._width in (None, len(cells)):
            return None
        values = "1 value" if len(cells) == 1 else f"{len(cells)} values"
        return f"{values} where the header has {self._width}"

    def _read_header(self) -> list[str]:
        header = next(iter(self), None)
        if header is None:
            raise JobError("The file is empty. Choose one with a header row and rows below it.")
        if isinstance(header, Broken):
            raise JobError(f"The header row in line {header.line} cannot be read: {header.reason}.")
        if len(header) > MOST_COLUMNS:
            raise JobError(f"The file has {len(header):,} columns; {MOST_COLUMNS} are the most.")
        return distinct_names(check_is_header([cell.strip() for cell in header]))


def check_is_text(sample: bytes) -> None:
    """Raise ``JobError`` for what is no CSV file at all."""
    if not sample.strip():
        raise JobError("The file is empty. Choose one with a header row and rows below it.")
    for magic, what in OTHER_FORMATS.items():
        if sample.startswith(magic):
            raise JobError(f"This is not a CSV file but {what}. Save it as CSV (UTF-8) first.")


def find_delimiter(sample: str) -> str:
    """Return the delimiter that cuts the most rows into as many values as the first row has."""
    return max(DELIMITERS, key=lambda delimiter: agreement(sample, delimiter))


def agreement(sample: str, delimiter: str) -> tuple[int, int]:
    try:
        rows = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        widths = [len(row) for row in rows if row]
    except csv.Error:
        return 0, 0
    return (widths.count(widths[0]), widths[0]) if widths and widths[0] > 1 else (0, 0)


def check_is_header(cells: list[str]) -> list[str]:
    """Return the cells, or raise ``JobError`` if they are no names of columns."""
    if any(map(CONTROLS.search, cells)):
        raise JobError("This is not a text file. Save your table as CSV (UTF-8) first.")
    value = next((cell for cell in cells if NUMBER.fullmatch(cell) or DATE.fullmatch(cell)), None)
    if value is not None or not any(cells):
        found = f"a value, “{value}”" if value else "nothing"
        raise JobError(
            f"The file has no header row: its first row holds {found}. "
            "Put a row with the names of the columns first."
        )
    return cells


def distinct_names(cells: list[str]) -> list[str]:
    """Name each column, the nameless by its number and a repeated name with a count."""
    names: dict[str, None] = {}
    for number, cell in enumerate(cells, 1):
        name = wanted = cell or f"column {number}"
        again = 1
        while name in names:
            again += 1
            name = f"{wanted} ({again})"
        names[name] = None
    return list(names)
