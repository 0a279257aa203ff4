"""A Celery object finds its Flask app by itself, in every way that tutorials tie the two together.

Each program is one that a user could write; it runs in a process of its own, as what is made in
one would be there for the other tests too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import requests

from support.journal import Journal
from support.programs import said
from support.servers import Served, Servers
from support.waiting import until

SECONDS = 60.0

BEGIN = """
import json, logging, os, sys
from flask import Flask
from flask_backburner import Backburner
from flask_backburner.celery_compat import Celery, Task, current_app, shared_task
from flask_backburner.celery_compat.result import AsyncResult
from flask_backburner.testing import run_jobs

logging.getLogger("flask_backburner").addHandler(logging.NullHandler())
FOLDER = sys.argv[1]

def made(name="shop", folder="shop"):
    app = Flask(name, instance_path=os.path.join(FOLDER, folder))
    app.config.update(TESTING=True, BACKBURNER_WORKER="external", CURRENCY=folder)
    return app

def tell(*values):
    print(json.dumps(values))
"""

Program = Callable[[str], Any]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run a program; what it told."""
    return lambda source: json.loads(said(BEGIN + dedent(source), tmp_path))


def test_a_module_level_celery_object_serves_the_app_beside_it(program: Program) -> None:
    assert program("""
        app = made()
        celery = Celery(app.name, broker="redis://localhost")
        celery.conf.update(app.config)

        @celery.task
        def add(a, b):
            return a + b

        @app.post("/")
        def start():
            return {"id": add.delay(2, 3).id}

        @app.get("/<id>")
        def look(id):
            return [add.AsyncResult(id).state, AsyncResult(id).result]

        client = app.test_client()
        id = client.post("/").json["id"]
        before = client.get("/" + id).json
        run_jobs(app)
        tell(before, client.get("/" + id).json, client.get("/jobs/" + id).json["state"])
    """) == [["PENDING", None], ["SUCCESS", 5], "succeeded"]


def test_each_app_of_a_factory_has_its_own_celery_object(program: Program) -> None:
    assert program("""
        from flask import current_app as flask_app

        @shared_task
        def currency():
            return flask_app.config["CURRENCY"]

        def create_app(folder):
            app = made(folder=folder)
            class FlaskTask(Task):
                def __call__(self, *args, **kwargs):
                    with app.app_context():
                        return self.run(*args, **kwargs)
            celery = Celery(app.name, task_cls=FlaskTask)
            celery.set_default()
            app.extensions["celery"] = celery
            return app

        apps = [create_app("one"), create_app("two")]
        answers = []
        for app in apps:
            with app.app_context():
                result = currency.delay()
                run_jobs(app)
                answers.append([result.get(), current_app == app.extensions["celery"]])
        with apps[0].app_context():
            answers.append(len(apps[0].extensions["backburner"].jobs()))
        tell(*answers)
    """) == [["one", True], ["two", True], 1]


def test_apps_of_one_name_are_told_apart_by_their_configuration(program: Program) -> None:
    assert program("""
        def create_app(folder):
            app = made(folder=folder)
            app.config["CELERY"] = {"task_default_queue": folder}
            celery = Celery(app.name)
            celery.config_from_object(app.config["CELERY"])

            @celery.task(name="work")
            def work():
                return 1

            app.work = work
            return app

        apps = [create_app("one"), create_app("two")]
        answers = []
        for app in apps:
            with app.app_context():
                result = app.work.delay()
                answers.append([result.queue, len(app.extensions["backburner"].jobs())])
        tell(*answers)
    """) == [["one", 1], ["two", 1]]


def test_a_celery_object_that_nothing_ties_to_an_app_serves_each_one(program: Program) -> None:
    assert program("""
        celery = Celery("tasks", broker="redis://localhost:6379/0")

        @celery.task
        def work():
            return "done"

        answers = []
        for app in (made("first", "a"), made("second", "b")):
            with app.app_context():
                result = work.delay()
                run_jobs(app)
                answers.append(result.get())
        tell(*answers)
    """) == ["done", "done"]


def test_a_backburner_that_the_app_has_is_used(program: Program) -> None:
    assert program("""
        app = made()
        tasks = Backburner(app)
        celery = Celery(app.name)

        @tasks.task
        def own():
            return "own"

        @celery.task
        def late():
            return "late"

        with app.app_context():
            started = [own.delay(), late.delay().job]
            run_jobs(app)
            tell([job.refresh().result for job in started], celery._apps.__contains__(app))
    """) == [["own", "late"], True]


def test_tasks_that_are_defined_later_are_known_too(program: Program) -> None:
    assert program("""
        app = made()
        celery = Celery(app.name)

        with app.app_context():
            pass

        @celery.task
        def late():
            return "late"

        @shared_task
        def shared():
            return "shared"

        with app.app_context():
            results = [late.delay(), shared.delay()]
            run_jobs(app)
            tell([each.get() for each in results])
    """) == [["late", "shared"]]


def test_a_task_class_that_is_set_after_the_tasks_is_theirs(program: Program) -> None:
    assert program("""
        celery = Celery("shop")

        @celery.task
        def early():
            return "early"

        def init_celery(app):
            class ContextTask(celery.Task):
                def __call__(self, *args, **kwargs):
                    with app.app_context():
                        return self.run(*args, **kwargs).upper()
            celery.conf.update(app.config)
            celery.Task = ContextTask

        app = made()
        init_celery(app)
        with app.app_context():
            result = early.delay()
            run_jobs(app)
            tell(result.get())
    """) == ["EARLY"]


def test_shared_tasks_need_no_celery_object(program: Program) -> None:
    assert program("""
        @shared_task(bind=True)
        def alone(self):
            return self.name

        app = made()
        with app.app_context():
            result = alone.delay()
            run_jobs(app)
            tell(result.get(), AsyncResult(result.id).state, current_app.tasks["__main__.alone"]())
    """) == ["__main__.alone", "SUCCESS", "__main__.alone"]


def test_outside_of_any_context_the_only_app_is_meant(program: Program) -> None:
    assert program("""
        app = made()
        celery = Celery("tasks")

        @celery.task
        def work():
            return "done"

        result = work.delay()
        run_jobs(app)
        tell(result.get(), AsyncResult(result.id).state)
    """) == ["done", "SUCCESS"]


def test_outside_of_any_context_one_of_several_apps_has_to_be_named(program: Program) -> None:
    (error,) = program("""
        apps = [made("one"), made("two")]
        one, two = apps
        celery = Celery("tasks")

        @celery.task
        def work():
            return "done"

        try:
            work.delay()
        except Exception as error:
            tell(f"{type(error).__name__}: {error}")
    """)
    assert error == (
        "BackburnerError: __main__.work is used outside an app context, and 2 Flask apps use it. "
        "Use it inside `with app.app_context():` of the one that is meant."
    )


LATE = """
    app = made()
    {line}

    @app.get("/")
    def index():
        return ""

    client = app.test_client()
    client.get("/")
    celery = Celery(app.name)

    @celery.task
    def work():
        return "done"

    with app.app_context():
        try:
            result = work.delay()
            run_jobs(app)
            tell(result.get())
        except Exception as error:
            tell(str(error))
"""


def test_a_task_class_that_names_only_the_current_app_says_nothing(program: Program) -> None:
    assert program("""
        from flask import current_app as flask_app

        class Logged(Task):
            def __call__(self, *args, **kwargs):
                return [flask_app.name, self.run(*args, **kwargs)]

        celery = Celery("tasks", task_cls=Logged)

        @celery.task
        def work():
            return "done"

        answers = []
        for app in (made("first", "a"), made("second", "b")):
            with app.app_context():
                result = work.delay()
                run_jobs(app)
                answers.append(result.get())
        tell(*answers)
    """) == [["first", "done"], ["second", "done"]]


def test_celery_itself_is_not_imported(program: Program) -> None:
    assert program("tell('celery' in sys.modules)") == [False]


def test_a_celery_object_that_comes_too_late_names_the_line_that_helps(program: Program) -> None:
    assert program(LATE.format(line="")) == [
        "__main__.work is used in the app 'shop', which has answered requests before the Celery "
        "object was there. Import the module that makes it where the app is made, or write "
        "`Backburner(app)` there."
    ]
    assert program(LATE.format(line="Backburner(app)")) == ["done"]


def test_an_app_that_uses_no_celery_is_left_alone(program: Program) -> None:
    assert program("""
        app, other = made("shop", "a"), made("other", "b")
        celery = Celery(app.name)
        celery.conf.update(app.config)
        for each in (app, other):
            with each.app_context():
                pass
        tell("backburner" in app.extensions, "backburner" in other.extensions)
    """) == [True, False]


def test_the_address_of_a_broker_chooses_nothing_and_that_is_said(program: Program) -> None:
    logged, place, again = program("""
        import io
        heard = io.StringIO()
        logging.getLogger("flask_backburner").addHandler(logging.StreamHandler(heard))
        app = made()
        celery = Celery(app.name, broker="redis://:secret@localhost:6379/0", backend="redis://")
        for _ in range(2):
            with app.app_context():
                installation = app.extensions["backburner"].installation(app)
        told = heard.getvalue()
        other = made("other", "b")
        other.config["BACKBURNER_URL"] = "sqlite:///jobs.db"
        with other.app_context():
            pass
        tell(told, installation.settings.place, len(heard.getvalue()) - len(told))
    """)
    assert logged == (
        "The broker_url and the result_backend of Celery are not used: the jobs of the app 'shop' "
        "are in a file on this machine and need no server. Set BACKBURNER_URL to say so, or to "
        "keep them in Redis.\n"
    )
    assert place.endswith("backburner.db")
    assert again == 0


def test_workers_import_what_is_included(program: Program, tmp_path: Path) -> None:
    package = tmp_path / "packed"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("included", "imported", "tasks"):
        (package / f"{name}.py").write_text(
            "from flask_backburner.celery_compat import shared_task\n"
            f"@shared_task(name={name!r})\ndef work(): return {name!r}\n"
        )
    assert program("""
        sys.path.insert(0, FOLDER)
        app = made()
        celery = Celery(app.name, include=["packed.included"])
        celery.conf.imports = ("packed.imported",)
        celery.autodiscover_tasks(["packed", "json"])
        with app.app_context():
            before = sorted(celery.tasks)
        run_jobs(app)
        tell(before, sorted(celery.tasks))
    """) == [[], ["imported", "included", "tasks"]]


SITE = """
import os
from flask import Flask
from flask_backburner.celery_compat import Celery, Task, shared_task
from support.journal import note

@shared_task
def mark():
    note("start", "mark")
    return os.getpid()

def create_app():
    app = Flask("site", instance_path=os.path.dirname(os.path.abspath(__file__)))
    app.config["BACKBURNER_POLL"] = 0.05

    class FlaskTask(Task):
        def __call__(self, *args, **kwargs):
            with app.app_context():
                return self.run(*args, **kwargs)

    app.extensions["celery"] = Celery(app.name, task_cls=FlaskTask)

    @app.get("/")
    def index():
        return {}

    @app.post("/")
    def start():
        return {"id": mark.delay().id}

    @app.get("/<id>")
    def look(id):
        result = mark.AsyncResult(id)
        return {"state": result.state, "pid": result.result, "own": os.getpid()}

    return app
"""


@pytest.mark.parametrize("server", ["flask run", "gunicorn", "gunicorn with our configuration"])
def test_the_embedded_worker_of_a_factory_finds_the_app(
    serve: Servers, tmp_path: Path, journal: Journal, server: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "site_of_celery.py").write_text(SITE)
    served = serving(serve, place, server)
    id = requests.post(served.url, timeout=30).json()["id"]
    answers: list[dict[str, Any]] = []

    def is_over() -> bool:
        answers.append(requests.get(f"{served.url}/{id}", timeout=30).json())
        return bool(answers[-1]["state"] == "SUCCESS")

    until(is_over, SECONDS, lambda: f"{answers[-1:]}\n{served.output()}")
    assert answers[-1]["pid"] in set(served.pids()) - {answers[-1]["own"]}
    assert len(journal.entries("start")) == 1


def serving(serve: Servers, place: Path, server: str) -> Served:
    app = "site_of_celery:create_app()"
    if server == "flask run":
        return serve.flask_run(place, app)
    options = ["-c", "python:flask_backburner.gunicorn"] if "our" in server else []
    return serve.gunicorn(place, app, "--workers", "2", *options)
