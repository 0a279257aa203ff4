"""The demo reads: the data that ships, CSV files of all kinds, words and numbers for people."""

from __future__ import annotations

import csv
import struct
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo import formats
from demo.report.source import Broken, Source
from demo.report.views import SAMPLE
from flask_backburner import JobError

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "demo" / "data" / "make_timezones.py"

Read = Callable[..., tuple[list[str], list[object]]]


# The data that ships


def test_the_shipped_csv_holds_every_change_of_the_clocks() -> None:
    with SAMPLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 23_270
    assert len({row["zone"] for row in rows}) == 312
    assert rows[1] == {
        "zone": "Europe/Andorra",
        "countries": "AD",
        "latitude": "42.5",
        "longitude": "1.5167",
        "time": "1946-09-30T00:00:00Z",
        "offset": "1.0",
        "summer_time": "no",
        "abbreviation": "CET",
    }


def test_the_data_script_reads_compiled_zones(tmp_path: Path) -> None:
    (tmp_path / "zone1970.tab").write_text("# a comment\nXX,YY\t-0130+1001530\tTest\tnowhere\n")
    changes = [(-(2**40), 0), (0, 1), (86_400 * 365, 0)]
    (tmp_path / "Test").write_bytes(tzif(changes, [(-5400, 0, b"AAA"), (1800, 1, b"BBBB")]))
    run = subprocess.run(
        [sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == [
        "zone,countries,latitude,longitude,time,offset,summer_time,abbreviation",
        "Test,XX YY,-1.5,100.2583,1970-01-01T00:00:00Z,0.5,yes,BBBB",
        "Test,XX YY,-1.5,100.2583,1971-01-01T00:00:00Z,-1.5,no,AAA",
    ]


def tzif(changes: list[tuple[int, int]], kinds: list[tuple[int, int, bytes]]) -> bytes:
    """A compiled time zone (RFC 8536) with an empty 32-bit block."""
    names = b"".join(name + b"\0" for _, _, name in kinds)
    starts = [names.index(name) for _, _, name in kinds]
    head = struct.Struct(">4s16s6l")
    return b"".join(
        [
            head.pack(b"TZif", b"2", 0, 0, 0, 0, 1, 1) + bytes(7),
            head.pack(b"TZif", b"2", 0, 0, 0, len(changes), len(kinds), len(names)),
            struct.pack(f">{len(changes)}q", *(at for at, _ in changes)),
            bytes(kind for _, kind in changes),
            *(
                struct.pack(">lBB", offset, summer, start)
                for (offset, summer, _), start in zip(kinds, starts, strict=True)
            ),
            names,
        ]
    )


# Reading CSV files


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read these bytes as a CSV file; gives its columns and all that comes below."""

    def read(data: bytes, encoding: str = "utf-8") -> tuple[list[str], list[object]]:
        path = tmp_path / "some.csv"
        path.write_bytes(data)
        with Source(path, encoding) as source:
            return source.columns, list(source)

    return read


@pytest.mark.parametrize(
    ("data", "columns", "rows"),
    [
        (b"a,b\n1,2\n", ["a", "b"], [["1", "2"]]),
        (b"a,b\r\n1,2", ["a", "b"], [["1", "2"]]),
        (b"a,b\r1,2\r3,4\r", ["a", "b"], [["1", "2"], ["3", "4"]]),
        (b"\xef\xbb\xbfa,b\n1,2\n", ["a", "b"], [["1", "2"]]),
        (b"a;b\n1,5;2\n", ["a", "b"], [["1,5", "2"]]),
        (b"a\tb\n1\t2\n", ["a", "b"], [["1", "2"]]),
        (b"a|b\n1|2\n", ["a", "b"], [["1", "2"]]),
        (b'a,b\n"1\n2","say ""hi"""\n3,4\n', ["a", "b"], [["1\n2", 'say "hi"'], ["3", "4"]]),
        (b"name\nx\n\ny\n", ["name"], [["x"], ["y"]]),
        (b"a,b\n", ["a", "b"], []),
        (b"a,b", ["a", "b"], []),
        ("größe,b\nä,€\n".encode(), ["größe", "b"], [["ä", "€"]]),
        (b"a,,a,a (2)\n1,2,3,4\n", ["a", "column 2", "a (2)", "a (2) (2)"], [["1", "2", "3", "4"]]),
    ],
)
def test_a_csv_file_is_read_as_it_was_meant(
    read: Read, data: bytes, columns: list[str], rows: list[list[str]]
) -> None:
    assert read(data) == (columns, rows)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "1 value where the header has 2"),
        (b"1,2,3", "3 values where the header has 2"),
        (b"1,\xff", "the byte 0xFF is not text in this encoding"),
        (b"1,\0", "it holds a NUL character"),
        (b'1,"open', "a quote is opened and not closed"),
        (b'1,"x"y', "a closing quote is not followed by the next value"),
        (b"1," + b"x" * 140_000, "a value is longer than 131,072 characters"),
        (b"1," + b"x" * 2_500_000, "it is longer than 1,000,000 characters"),
    ],
)
def test_a_broken_row_is_reported_by_its_line_and_does_not_stop_the_rest(
    read: Read, row: bytes, reason: str
) -> None:
    _, rows = read(b'a,b\n"1\n1",2\n' + row + b"\n3,4\n5,6\n")
    assert rows == [["1\n1", "2"], Broken(4, reason), ["3", "4"], ["5", "6"]]


def test_an_unclosed_quote_costs_its_own_line_only(read: Read) -> None:
    good = b"".join(b"%d,x\n" % number for number in range(50_000))
    _, rows = read(b'a,b\n0,"x\n' + good)
    assert rows[0] == Broken(2, "a quote is opened and not closed")
    assert len(rows) == 50_001
    assert rows[1] == ["0", "x"]
    assert rows[-1] == ["49999", "x"]


def test_a_row_over_several_lines_with_too_few_values_is_one_broken_row(read: Read) -> None:
    _, rows = read(b'a,b,c\n1,"x\ny\nz"\n1,2,3\n')
    assert rows == [Broken(2, "2 values where the header has 3"), ["1", "2", "3"]]


def test_old_excel_files_can_be_read_as_windows_1252(read: Read) -> None:
    assert read("größe;preis\nklein;5 €\n".encode("cp1252"), "cp1252") == (
        ["größe", "preis"],
        [["klein", "5 €"]],
    )


def test_latin_1_read_as_utf_8_is_reported_line_by_line(read: Read) -> None:
    _, rows = read("a,b\ncafé,1\nthé,2\ncoffee,3\n".encode("latin-1"))
    assert rows == [
        Broken(2, "the byte 0xE9 is not text in this encoding"),
        Broken(3, "the byte 0xE9 is not text in this encoding"),
        ["coffee", "3"],
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "The file is empty. Choose one with a header row and rows below it."),
        (b"\n\r\n  \n", "The file is empty. Choose one with a header row and rows below it."),
        (b"\xef\xbb\xbf", "The file is empty. Choose one with a header row and rows below it."),
        (
            b"Paris,2024-01-05\nRome,2024-01-06\n",
            "The file has no header row: its first row holds a value, “2024-01-05”. "
            "Put a row with the names of the columns first.",
        ),
        (
            b"1,-2.5e3\n3,4\n",
            "The file has no header row: its first row holds a value, “1”. "
            "Put a row with the names of the columns first.",
        ),
        (
            b",,\n1,2,3\n",
            "The file has no header row: its first row holds nothing. "
            "Put a row with the names of the columns first.",
        ),
        (
            b"PK\x03\x04\x14\0\6\0",
            "This is not a CSV file but an Excel workbook or a zip file. "
            "Save it as CSV (UTF-8) first.",
        ),
        (
            b"\xff\xfea\0,\0b\0",
            "This is not a CSV file but UTF-16 text. Save it as CSV (UTF-8) first.",
        ),
        (
            b"\x7fELF\2\1\1,\1\n",
            "This is not a text file. Save your table as CSV (UTF-8) first.",
        ),
        (
            b"a\0b,c\n1,2\n",
            "The header row in line 1 cannot be read: it holds a NUL character.",
        ),
        (
            b"caf\xe9,b\n1,2\n",
            "The header row in line 1 cannot be read: the byte 0xE9 is not text in this encoding.",
        ),
        (
            ",".join(f"c{n}" for n in range(501)).encode(),
            "The file has 501 columns; 500 are the most.",
        ),
    ],
)
def test_what_is_no_table_with_a_header_is_refused_in_clear_words(
    read: Read, data: bytes, words: str
) -> None:
    with pytest.raises(JobError) as refusal:
        read(data)
    assert str(refusal.value) == words


@given(
    st.lists(
        st.sampled_from(
            [b",", b";", b'"', b"\n", b"\r", b"a", b"b,", b"1", b"\0", b"\xff", "é".encode()]
        ),
        max_size=60,
    )
)
def test_any_bytes_are_rows_of_the_headers_width_or_broken_or_refused(pieces: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "any.csv")
        path.write_bytes(b"".join(pieces))
        try:
            source = Source(path)
        except JobError:
            return
        with source:
            rows = list(source)
    widths = {len(row) for row in rows if not isinstance(row, Broken)}
    assert widths <= {len(source.columns)}
    lines = [row.line for row in rows if isinstance(row, Broken)]
    assert lines == sorted(set(lines))


# Words and numbers


def test_numbers_sizes_and_times_are_written_for_people() -> None:
    assert formats.number(1234567) == "1,234,567"
    assert formats.number(-0.25) == "−0.25"
    assert formats.number(None) == "–"
    assert formats.number("2024-01-05") == "2024-01-05"
    assert formats.size(999) == "999 bytes"
    assert formats.size(1_607_951) == "1.6 MB"
    assert formats.size(2 * 1024**3) == "2.1 GB"
    assert formats.duration(timedelta(milliseconds=12)) == "12 ms"
    assert formats.duration(timedelta(seconds=3.25)) == "3.2 s"
    assert formats.duration(timedelta(seconds=125)) == "2 min 5 s"
    assert [formats.share(part, 1000) for part in (0, 1, 500, 999, 1000)] == [
        "0%",
        "<1%",
        "50%",
        "99%",
        "100%",
    ]
