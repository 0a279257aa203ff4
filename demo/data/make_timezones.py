"""Write timezones.csv: every change of the clocks in every time zone since 1900.

    python demo/data/make_timezones.py [FOLDER] > demo/data/timezones.csv

FOLDER holds compiled time zones and zone1970.tab, as Debian's package tzdata installs them.
"""

import csv
import re
import struct
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

HEADER = "zone,countries,latitude,longitude,time,offset,summer_time,abbreviation"
WIDTHS = 1, 1, 8, 5, 6, 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def degrees(angle):
    sign, whole, minutes, seconds = re.fullmatch(r"(.)(\d{2,3})(\d\d)(\d\d)?", angle).groups()
    return round(int(sign + "1") * (int(whole) + int(minutes) / 60 + int(seconds or 0) / 3600), 4)


def changes(tzif):
    """Yield (time, offset in hours, summer time, abbreviation): RFC 8536, the 64-bit block."""
    sizes = struct.unpack(">6l", tzif[20:44])
    block = tzif[44 + sum(n * width for n, width in zip(sizes, WIDTHS, strict=True)) :]
    *_, times, types, chars = struct.unpack(">6l", block[20:44])
    layout = f">{times}q{times}B{types * 6}s{chars}s"
    *moments, rules, names = struct.unpack_from(layout, block, 44)
    for moment, rule in zip(moments[:times], moments[times:], strict=True):
        seconds, summer, at = struct.unpack_from(">lBB", rules, rule * 6)
        time = EPOCH + timedelta(seconds=max(moment, -(2**33)))
        yield time, round(seconds / 3600, 4), "yes" if summer else "no", names[at:].split(b"\0")[0]


def rows(folder):
    for line in (folder / "zone1970.tab").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            countries, place, zone, *_ = line.split("\t")
            where = map(degrees, re.findall(r"[+-]\d+", place))
            row = zone, countries.replace(",", " "), *where
            for time, offset, summer, name in changes((folder / zone).read_bytes()):
                if time.year >= 1900:
                    yield *row, f"{time:%Y-%m-%dT%H:%M:%SZ}", offset, summer, name.decode()


if __name__ == "__main__":
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(HEADER.split(","))
    table.writerows(rows(Path(*sys.argv[1:] or ["/usr/share/zoneinfo"])))
