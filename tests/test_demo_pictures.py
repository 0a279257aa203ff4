"""The demo's pictures: archives that anybody may have made, and what is in them."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from demo.thumbnails import archive as archives
from demo.thumbnails.archive import Archive, Unusable, distinct, member_name, opened
from demo.thumbnails.picture import make_small
from demo.thumbnails.views import SAMPLE
from flask_backburner import JobError

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "demo" / "data" / "draw_pictures.py"

Zip = Callable[..., Path]


@pytest.fixture
def make_zip(tmp_path: Path) -> Zip:
    def make_zip(members: dict[str, bytes]) -> Path:
        path = tmp_path / "upload.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members.items():
                file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return path

    return make_zip


def picture(
    size: tuple[int, int] = (300, 200), mode: str = "RGB", format: str = "PNG", **options: object
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, format, **options)
    return file.getvalue()


def reasons(path: Path) -> list[str]:
    """What is wrong with each member; nothing for a good one."""
    with opened(path) as archive:
        return [reason(archive, member) for member in archive.members]


def reason(archive: Archive, member: zipfile.ZipInfo) -> str:
    try:
        archive.read(member)
    except Unusable as error:
        return str(error)
    return ""


# The pictures that ship


def test_the_shipped_pictures_are_twelve_of_all_kinds() -> None:
    with opened(SAMPLE) as archive:
        small = [make_small(archive.read(member), 640) for member in archive.members]
        suffixes = {PurePosixPath(member.filename).suffix for member in archive.members}
    assert SAMPLE.stat().st_size < 1_500_000
    assert suffixes == {".jpg", ".png", ".webp"}
    assert [max(one.size) for one in small] == [640] * 11 + [480]
    assert [one.suffix for one in small] == [".jpg"] * 11 + [".png"]


def test_the_script_draws_them(tmp_path: Path) -> None:
    drawn = tmp_path / "pictures.zip"
    subprocess.run([sys.executable, SCRIPT, drawn], check=True)
    with zipfile.ZipFile(drawn) as new, zipfile.ZipFile(SAMPLE) as shipped:
        assert new.namelist() == shipped.namelist()


# Archives


def test_a_file_that_is_no_archive_fails_in_words(tmp_path: Path) -> None:
    path = tmp_path / "upload.zip"
    path.write_bytes(picture())
    with pytest.raises(JobError, match=r"^This is not a zip archive, or it is damaged\.$"):
        opened(path).__enter__()


def test_paths_out_of_the_archive_are_refused(make_zip: Zip) -> None:
    names = ["/etc/passwd", "../up.png", "a/../../b.png", "C:\\b.png", "a\\..\\b.png", "..x.png"]
    outside = "its path leads out of the archive"
    assert reasons(make_zip(dict.fromkeys(names, b"x"))) == [outside] * 5
    assert reasons(make_zip({"a/b..png": b"x"})) == [""]


def test_what_systems_leave_in_archives_is_passed_over(make_zip: Zip) -> None:
    names = ["__MACOSX/a.png", ".DS_Store", "a/.hidden", "a/Thumbs.db", "desktop.ini", "a/b/"]
    assert reasons(make_zip(dict.fromkeys(names, b""))) == []


def test_a_member_that_unpacks_to_too_much_is_refused(make_zip: Zip) -> None:
    path = make_zip({"bomb.png": bytes(archives.MEMBER_BYTES + 1), "good.png": b"good"})
    assert path.stat().st_size < 100_000
    assert reasons(path) == ["it is larger than 50 MB", ""]


def test_members_that_together_unpack_to_too_much_are_refused(
    make_zip: Zip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ALL_BYTES", 2500)
    path = make_zip({f"{number}.png": bytes(1000) for number in range(4)})
    assert reasons(path) == ["", "", *["all files together are larger than 2.5 kB"] * 2]


def test_a_member_that_lies_about_its_size_is_refused(make_zip: Zip) -> None:
    path = make_zip({"liar.png": bytes(5000)})
    path.write_bytes(path.read_bytes().replace((5000).to_bytes(4, "little"), bytes([9, 0, 0, 0])))
    assert reasons(path) == ["it is damaged"]


def test_a_locked_member_is_refused(make_zip: Zip) -> None:
    path = make_zip({"locked.png": b"secret"})
    data = path.read_bytes()
    flags = data.index(b"PK\1\2") + 8
    path.write_bytes(data[:flags] + b"\1" + data[flags + 1 :])
    assert reasons(path) == ["it is locked with a password"]


def test_a_member_packed_in_an_unknown_way_is_refused(make_zip: Zip) -> None:
    path = make_zip({"odd.png": b"odd"})
    data = path.read_bytes()
    for header, at in (b"PK\3\4", 8), (b"PK\1\2", 10):
        method = data.index(header) + at
        data = data[:method] + b"\x63" + data[method + 1 :]
    path.write_bytes(data)
    assert reasons(path) == ["it is packed in a way that is not known here"]


def test_a_hundred_members_are_read_and_the_others_named(make_zip: Zip) -> None:
    with opened(make_zip({f"{number}.png": b"" for number in range(103)})) as archive:
        assert len(archive.members) == 100
        assert [member.filename for member in archive.beyond] == ["100.png", "101.png", "102.png"]


def test_names_are_shown_without_what_only_confuses() -> None:
    entry = zipfile.ZipInfo("a\\b\n\x1b[31m\u202e.png")
    assert member_name(entry) == "a/b[31m.png"
    entry.filename = "\x01"
    assert member_name(entry) == "unnamed"


def test_two_of_a_name_are_told_apart() -> None:
    taken: set[PurePosixPath] = set()
    names = [str(distinct(PurePosixPath(name), taken)) for name in ["a/b.jpg"] * 3]
    assert names == ["a/b.jpg", "a/b (2).jpg", "a/b (3).jpg"]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_damaged_archive_is_refused_or_read(data: st.DataObject) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        for name in "a.png", "b/c.png":
            file.writestr(name, b"some text " * 20)
    damaged = io.BytesIO(damage(whole.getvalue(), data))
    with suppress(JobError), opened(damaged) as archive:  # type: ignore[arg-type]  # bytes stand for a file
        for member in archive.members:
            reason(archive, member)


# Pictures


def test_a_picture_is_fitted_into_a_square() -> None:
    small = make_small(picture((1000, 500)), 320)
    assert (small.suffix, small.size, small.original) == (".jpg", (320, 160), (1000, 500))
    assert Image.open(io.BytesIO(small.data)).size == (320, 160)


def test_a_small_picture_is_not_enlarged() -> None:
    assert make_small(picture((30, 20)), 320).size == (30, 20)


def test_a_picture_taken_sideways_is_put_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    small = make_small(picture((800, 400), format="JPEG", exif=exif), 200)
    assert (small.size, small.original) == ((100, 200), (400, 800))
    assert 0x0112 not in Image.open(io.BytesIO(small.data)).getexif()


@pytest.mark.parametrize(
    ("mode", "format", "suffix"),
    [
        ("1", "PNG", ".jpg"),
        ("I;16", "PNG", ".jpg"),
        ("LA", "PNG", ".png"),
        ("P", "GIF", ".jpg"),
        ("RGBA", "WEBP", ".png"),
        ("CMYK", "JPEG", ".jpg"),
        ("F", "TIFF", ".jpg"),
        ("RGB", "BMP", ".jpg"),
    ],
)
def test_pictures_of_all_kinds_are_made_small(mode: str, format: str, suffix: str) -> None:
    small = make_small(picture((100, 80), mode, format), 50)
    assert (small.suffix, small.size) == (suffix, (50, 40))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    data = picture((1, 1))
    for width, height in (8000, 7000), (2**31 - 1, 2**31 - 1):
        size = width.to_bytes(4) + height.to_bytes(4)
        head = b"IHDR" + size + data[24:29]
        whole = data[:12] + head + zlib.crc32(head).to_bytes(4) + data[33:]
        with pytest.raises(Unusable, match=r"^it has more than 50 million pixels$"):
            make_small(whole, 320)


def test_what_is_no_picture_is_refused() -> None:
    for data in b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n":
        with pytest.raises(Unusable, match=r"^it is no picture$"):
            make_small(data, 320)


def test_half_a_picture_is_refused() -> None:
    with pytest.raises(Unusable, match=r"^it is damaged$"):
        make_small(picture((300, 200), format="JPEG")[:700], 320)


@pytest.mark.filterwarnings("ignore")  # decoders warn of what is odd and go on
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_damaged_picture_is_refused_or_made_small(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]))
    with suppress(Unusable):
        make_small(damage(picture((40, 30), format=format), data), 20)


def damage(whole: bytes, data: st.DataObject) -> bytes:
    """Change some bytes and perhaps cut the end off."""
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    return bytes(changed[: data.draw(st.integers(1, len(changed)))])
