"""The demo in a browser: an album from the click to its zip, and a slow page."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
import requests
from PIL import Image
from playwright.sync_api import Page, Route

from demo.thumbnails.views import SAMPLE
from support.engines import EVERY, Engine
from support.latch import Latch
from support.servers import Served, Servers
from support.waiting import until

ROOT = Path(__file__).parents[1]
everywhere = pytest.mark.parametrize("engine_kind", EVERY, indirect=True)

HELD = """
from demo.app import create_app
from demo.thumbnails import task
from support.latch import pass_latch

make_small = task.make_small

def make_small_when_let(data, side):
    pass_latch()
    return make_small(data, side)

task.make_small = make_small_when_let
app = create_app()
"""


@pytest.fixture
def demo(serve: Servers, engine: Engine, tmp_path: Path) -> Served:
    """The demo as ``make demo`` serves it."""
    env = {"DEMO_INSTANCE": str(tmp_path / "instance")}
    server = serve.run(ROOT, "-m", "demo", env=env).ready(Served.refuses_nonsense)
    engine.worker(serve, ROOT, "demo.app:create_app", "-c", "2", env=env)
    return server


@pytest.fixture
def held_demo(
    serve: Servers, tmp_path: Path, latch: Latch, monkeypatch: pytest.MonkeyPatch
) -> Served:
    """The demo, but before each picture its job waits at the latch."""
    (tmp_path / "held_demo.py").write_text(HELD)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    env = {
        "DEMO_INSTANCE": str(tmp_path / "instance"),
        "FLASK_BACKBURNER_APP": "held_demo:app",
    }
    threads = ("--worker-class=gthread", "--threads=8")
    return serve.gunicorn(serve.folder, "held_demo:app", *threads, env=env)


def shows(page: Page, *texts: str) -> None:
    """Wait until the page shows all these words."""
    for text in texts:
        until(
            lambda text=text: text in page.inner_text("main"), 20, lambda: page.inner_text("main")
        )


def gallery(page: Page) -> list[str]:
    """What kind of file each picture is that the page really shows."""
    return page.locator(".gallery img").evaluate_all(
        """pictures => pictures
            .filter(picture => picture.complete && picture.naturalWidth > 0)
            .map(picture => picture.src.replace(/.*[.]/, ""))"""
    )


# Thumbnails


@everywhere
def test_the_shipped_pictures_go_from_one_click_to_gallery_and_zip(
    demo: Served, page: Page
) -> None:
    page.goto(demo.url)
    page.click("text=Thumbnails")
    page.click("text=Use the drawn pictures")
    shows(page, "Download all", "morning panorama.jpg")
    page.locator("figure").last.scroll_into_view_if_needed()
    until(lambda: gallery(page) == ["jpg"] * 11 + ["png"])
    with page.expect_download() as download:
        page.click("text=Download all")
    assert download.value.suggested_filename == "thumbnails.zip"
    with zipfile.ZipFile(download.value.path()) as file:
        assert len(file.namelist()) == 12
        assert file.namelist()[2] == "Mountains/night.jpg"
        assert Image.open(io.BytesIO(file.read("Mountains/night.jpg"))).size == (457, 640)
    page.click("text=All albums")
    shows(page, "pictures.zip", "12 pictures", "ready")


def test_pictures_appear_while_others_are_made(held_demo: Served, page: Page, latch: Latch) -> None:
    page.goto(f"{held_demo.url}/thumbnails/")
    page.click("text=Use the drawn pictures")
    for made in range(3):
        latch.arrived(made + 1)
        until(lambda made=made: len(gallery(page)) == made)
        latch.step()
    page.reload()
    until(lambda: len(gallery(page)) == 3)
    latch.open()
    shows(page, "Download all")


def test_a_job_that_ends_while_its_page_loads_still_leads_to_the_result(
    held_demo: Served, page: Page, latch: Latch
) -> None:
    with requests.Session() as visitor:
        album = visitor.post(f"{held_demo.url}/thumbnails/sample").url
        job = f"{held_demo.url}/jobs/{album.rpartition('/')[2]}"
        latch.arrived(1)

        def finish_the_job_first(route: Route) -> None:
            latch.open()
            until(lambda: visitor.get(job).json()["done"])
            route.continue_()

        page.context.add_cookies(
            [
                {"name": name, "value": value, "url": album}
                for name, value in visitor.cookies.items()
            ]
        )
        page.route("**/backburner.js*", finish_the_job_first)
        page.goto(album)
        shows(page, "Download all")


def test_a_cancelled_album_says_so(held_demo: Served, page: Page, latch: Latch) -> None:
    page.goto(f"{held_demo.url}/thumbnails/")
    page.click("text=Use the drawn pictures")
    latch.arrived(1)
    page.click("text=Cancel")
    shows(page, "Cancelling")
    latch.step()
    shows(page, "You stopped this album.")


def test_what_cannot_be_used_is_left_out_and_listed(
    demo: Served, page: Page, tmp_path: Path
) -> None:
    mixed = tmp_path / "<b>holiday.zip"
    with zipfile.ZipFile(SAMPLE) as pictures, zipfile.ZipFile(mixed, "w") as file:
        lagoon = pictures.read("Water/lagoon.jpg")
        file.writestr("good.jpg", lagoon)
        file.writestr("half.jpg", lagoon[:5000])
        file.writestr("notes.txt", "Not a picture.")
        file.writestr("../up.jpg", lagoon)
    page.goto(f"{demo.url}/thumbnails/")
    page.set_input_files("input[type=file]", mixed)
    page.select_option("select", "320")
    page.click("text=Make thumbnails")
    shows(page, "Files left out")
    assert page.inner_text("h1") == "<b>holiday.zip"
    assert "900×1200 → 240×320" in page.inner_text("figure")
    rows = [row.split("\t") for row in page.locator("tbody tr").all_inner_texts()]
    assert rows == [
        ["half.jpg", "it is damaged"],
        ["notes.txt", "it is no picture"],
        ["../up.jpg", "its path leads out of the archive"],
    ]


def test_an_archive_without_pictures_fails_in_words(
    demo: Served, page: Page, tmp_path: Path
) -> None:
    empty = tmp_path / "texts.zip"
    with zipfile.ZipFile(empty, "w") as file:
        file.writestr("notes.txt", "Not a picture.")
    page.goto(f"{demo.url}/thumbnails/")
    page.set_input_files("input[type=file]", empty)
    page.click("text=Make thumbnails")
    shows(page, "There is no usable picture in the archive.", "notes.txt", "it is no picture")


def test_albums_and_their_pictures_are_there_for_their_visitor_only(demo: Served) -> None:
    with requests.Session() as visitor, requests.Session() as stranger:
        album = visitor.post(f"{demo.url}/thumbnails/sample").url
        job = f"{demo.url}/jobs/{album.rpartition('/')[2]}"
        until(lambda: visitor.get(job).json()["done"])
        picture = demo.url + visitor.get(job).json()["files"][0]["url"]
        assert [visitor.get(url).status_code for url in (album, job, picture)] == [200] * 3
        assert [stranger.get(url).status_code for url in (album, job, picture)] == [404] * 3
        assert "pictures.zip</a>" in visitor.get(f"{demo.url}/thumbnails/").text
        assert "pictures.zip</a>" not in stranger.get(f"{demo.url}/thumbnails/").text
        own = visitor.get(f"{demo.url}/jobs/", headers={"Accept": "application/json"})
        assert [one["task"] for one in own.json()["jobs"]] == [
            "demo.thumbnails.task:make_thumbnails"
        ]


def test_an_archive_beyond_the_limit_is_refused(serve: Servers, tmp_path: Path) -> None:
    env = {"DEMO_INSTANCE": str(tmp_path / "instance"), "FLASK_MAX_CONTENT_LENGTH": "100000"}
    demo = serve.run(ROOT, "-m", "demo", env=env).ready(Served.refuses_nonsense)
    with SAMPLE.open("rb") as file:
        answer = requests.post(f"{demo.url}/thumbnails/", files={"file": file})
    assert answer.status_code == 413
    assert "larger than 100 kB, the most that can be uploaded here." in answer.text


# The slow page


def test_a_quick_picture_is_the_view_s_own_answer(demo: Served) -> None:
    # The first one also waits for the worker's start, and a busy machine may be slow.
    page = until(lambda: (answer := ask(demo, palette="ocean"))[0] == 200 and answer[1])
    assert "The whole set, 480 × 300 points" in page
    assert '<option value="ocean" selected>' in page
    page = until(lambda: (answer := ask(demo, place="nowhere"))[0] == 400 and answer[1])
    assert "place must be one of whole, seahorses" in page


def ask(demo: Served, **choices: str) -> tuple[int, str]:
    answer = requests.get(f"{demo.url}/fractal/", params=choices)
    return answer.status_code, answer.text


@everywhere
def test_a_slow_picture_shows_progress_and_then_the_same_page(demo: Served, page: Page) -> None:
    page.goto(f"{demo.url}/fractal/")
    page.wait_for_selector("figure")
    page.select_option("[name=palette]", "ink")
    page.select_option("[name=width]", "1440")
    with page.expect_navigation():
        page.click("button")
    job = page.url
    assert job.startswith(f"{demo.url}/jobs/")
    assert "Computing the whole set" in page.inner_text("main")
    page.wait_for_url(f"{job}/result")
    shows(page, "The whole set, 1440 × 900 points")
    drawn = page.locator("figure img").evaluate("picture => picture.naturalWidth")
    assert (drawn, page.input_value("[name=palette]")) == (1440, "ink")
    assert requests.get(page.url).status_code == 404
