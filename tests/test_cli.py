"""``flask jobs worker``: what it is told, what it says, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from apps.workshop import FOLDER, add, mark, opened

from flask_backburner.installation import Installation
from support.journal import Journal
from support.servers import Served, Servers

APP = "apps.workshop:app"
WRONG = """
from flask import Flask
from flask_backburner import Backburner

app = Flask(__name__)
app.config["BACKBURNER_THREADS"] = "many"
Backburner(app)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Servers) -> Iterator[Installation]:
    monkeypatch.setenv(FOLDER, str(tmp_path / "shop"))
    with opened() as installation:
        yield installation


def worker(serve: Servers, place: Path, *args: str, app: str = APP) -> Served:
    served = serve.worker(place, app, *args)
    served.wait(20.0)
    return served


def test_a_worker_serves_the_queues_that_it_is_told(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal
) -> None:
    jobs = [mark.using(queue=queue).delay() for queue in ("a", "b", "c")]
    assert worker(serve, tmp_path, "--burst", "-q", "a", "-q", "c").wait() == 0
    assert [str(job.refresh().state) for job in jobs] == ["succeeded", "queued", "succeeded"]


def test_without_telling_it_serves_all(
    shop: Installation, serve: Servers, tmp_path: Path, journal: Journal
) -> None:
    jobs = [mark.using(queue=queue).delay() for queue in ("a", "b")]
    assert worker(serve, tmp_path, "--burst", "-c", "1").wait() == 0
    assert [str(job.refresh().state) for job in jobs] == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-q", " "], "--queue is [' '], but must be"),
        (["-c", "0"], "Invalid value for '-c' / '--threads': 0 is not in the range x>=1."),
        (["--grace", "-1"], "Invalid value for '--grace': -1.0 is not in the range x>=0."),
        (["--no-such-option"], "No such option"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(
    shop: Installation, serve: Servers, tmp_path: Path, args: list[str], words: str
) -> None:
    served = worker(serve, tmp_path, *args)
    assert served.wait() == 2
    assert words in served.output()


def test_a_wrong_configuration_is_told_in_a_line(serve: Servers, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    served = worker(serve, tmp_path, app="wrong:app")
    assert served.wait() == 2
    assert "The app is configured wrongly. BACKBURNER_THREADS is 'many', but" in served.output()
    assert "Traceback" not in served.output()


def test_an_app_without_the_extension_is_refused(serve: Servers, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    served = worker(serve, tmp_path, app="plain:app")
    assert served.wait() == 2
    assert (
        "The app 'plain' cannot run jobs. It does not use Flask-Backburner: init_app was not "
        "called." in served.output()
    )


def test_a_store_that_cannot_be_opened_is_said_and_has_a_code_of_its_own(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "backburner.db").mkdir()
    served = worker(serve, tmp_path, "--burst")
    assert served.wait() == 69
    assert served.output().startswith("Error: The job store")
    assert "Traceback" not in served.output()


def test_a_worker_does_not_replace_the_logging_that_the_app_has_set_up(
    shop: Installation, serve: Servers, tmp_path: Path
) -> None:
    (tmp_path / "logged.py").write_text(
        "import logging\nlogging.basicConfig(format='own %(message)s', level='INFO')\n"
        "from apps.workshop import create_app, tasks\napp = create_app()\n"
        "@tasks.task(name='say')\ndef say() -> None:\n    app.logger.warning('hello')\n"
        "with app.app_context():\n    say.delay()\n"
    )
    served = worker(serve, tmp_path, "--burst", app="logged:app")
    assert served.wait() == 0
    serving, said = served.output().splitlines()
    assert serving.startswith("own Serving all queues of ")
    assert said == "own hello"


def test_a_worker_logs_what_jobs_say_once(
    shop: Installation, serve: Servers, tmp_path: Path
) -> None:
    (tmp_path / "talking.py").write_text(
        "from apps.workshop import create_app, tasks\napp = create_app()\n"
        "app.logger.warning('loaded')\n"
        "@tasks.task(name='say')\ndef say() -> None:\n    app.logger.warning('hello')\n"
        "with app.app_context():\n    say.delay()\n"
    )
    served = worker(serve, tmp_path, "--burst", app="talking:app")
    assert served.wait() == 0
    assert served.output().count("hello") == 1


def test_the_process_ends_although_a_job_left_a_thread_behind(
    shop: Installation, serve: Servers, tmp_path: Path
) -> None:
    (tmp_path / "lingering.py").write_text(
        "import threading\nfrom apps.workshop import create_app, tasks\napp = create_app()\n"
        "@tasks.task(name='linger')\ndef linger() -> None:\n"
        "    threading.Thread(target=threading.Event().wait, daemon=False).start()\n"
        "with app.app_context():\n    linger.delay()\n"
    )
    assert worker(serve, tmp_path, "--burst", app="lingering:app").wait() == 0


def test_a_worker_of_an_empty_store_ends_its_burst(
    shop: Installation, serve: Servers, tmp_path: Path
) -> None:
    assert worker(serve, tmp_path, "--burst").wait() == 0
    assert add.delay(1, 1).state == "queued"
