"""Backburner and its apps: init_app, factories, blueprints, several apps in one process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, current_app

from flask_backburner import Backburner, BackburnerError, DefinitionError, JobNotFound, State
from support import processes
from support.apps import Site, site_in

UNKNOWN = "0" * 22

# As in a module of its own: made and used before there is any app
tasks = Backburner()


@tasks.task(name="where")
def where() -> str:
    return current_app.name


blueprint = Blueprint("reports", __name__)


@blueprint.post("/where")
def start_where() -> Any:
    return where.delay()


def create_app(name: str, folder: Path) -> Flask:
    app = Flask(name, instance_path=str(folder / name))
    app.testing = True
    app.config["BACKBURNER_WORKER"] = "external"
    tasks.init_app(app)
    app.register_blueprint(blueprint)
    return app


@pytest.fixture(autouse=True)
def forget_apps() -> Iterator[None]:
    yield
    tasks.close()
    tasks._installations.clear()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def test_tasks_of_a_module_belong_to_the_app_that_a_factory_makes(tmp_path: Path) -> None:
    app = create_app("shop", tmp_path)
    started = app.test_client().post("/where")
    assert started.status_code == 202
    Site(app, tasks).work()
    with app.app_context():
        assert tasks.job(started.get_json()["id"]).result == "shop"


def test_two_apps_of_one_process_have_stores_of_their_own(tmp_path: Path) -> None:
    shop, office = create_app("shop", tmp_path), create_app("office", tmp_path)
    with shop.app_context():
        in_shop = where.delay()
    with office.app_context():
        in_office = where.delay()
        with pytest.raises(JobNotFound):
            tasks.job(in_shop.id)
    Site(office, tasks).work()
    assert (in_shop.refresh().state, in_office.refresh().state) == ("queued", "succeeded")
    assert in_office.result == "office"
    Site(shop, tasks).work()
    assert in_shop.refresh().result == "shop"
    assert (tmp_path / "shop" / "backburner.db").exists()
    assert (tmp_path / "office" / "backburner.db").exists()


def test_two_apps_on_one_file_never_see_each_others_jobs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/both.db"
    with (
        site_in(tmp_path, "shop", BACKBURNER_URL=url) as shop,
        site_in(tmp_path, "office", BACKBURNER_URL=url) as office,
    ):
        jobs = [_work(shop).delay(), _work(office).delay()]
        assert [shop.client.get(f"/jobs/{job.id}").status_code for job in jobs] == [200, 404]
        assert [office.client.get(f"/jobs/{job.id}").status_code for job in jobs] == [404, 200]
        shop.work()
        assert [job.refresh().state for job in jobs] == ["succeeded", "queued"]


def _work(site: Site) -> Any:
    @site.tasks.task(name="work")
    def work() -> None: ...

    return work


def test_with_one_app_no_context_is_needed(site: Site) -> None:
    job = _work(site).delay()
    assert site.tasks.job(job.id) == job


def message(function: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(BackburnerError) as refused:
        function(*args, **kwargs)
    return str(refused.value)


def test_before_there_is_an_app_a_start_is_refused() -> None:
    assert message(where.delay) == (
        "where is used before there is an app. Call tasks.init_app(app) first."
    )
    assert message(tasks.job, UNKNOWN) == (
        "tasks.job() is used before there is an app. Call tasks.init_app(app) first."
    )


def test_which_of_two_apps_is_meant_must_be_said(tmp_path: Path) -> None:
    create_app("shop", tmp_path)
    create_app("office", tmp_path)
    assert message(where.delay) == (
        "where is used outside an app context while there are 2 apps. "
        "Use it inside `with app.app_context():` of the one that is meant."
    )


def test_an_app_without_init_app_is_refused(tmp_path: Path) -> None:
    create_app("shop", tmp_path)
    with Flask("other").app_context():
        assert message(where.delay) == (
            "where is used in the app 'other', for which init_app was not called. "
            "Call tasks.init_app(app) where that app is made."
        )


def test_an_app_has_one_backburner(site: Site) -> None:
    expected = (
        "The app 'shop' has a Backburner already. Call init_app once for each app, "
        "and use the same Backburner object everywhere."
    )
    assert message(site.tasks.init_app, site.app) == expected
    assert message(Backburner, site.app) == expected
    assert site.app.extensions["backburner"] is site.tasks


def test_init_app_starts_and_opens_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    before = (
        threading.enumerate(),
        processes.descendants(os.getpid()),
        os.listdir("/proc/self/fd"),
    )
    app = Flask("shop", instance_path=str(folder))
    own = Backburner(app)

    @own.task(name="work")
    def work() -> None: ...

    after = (threading.enumerate(), processes.descendants(os.getpid()), os.listdir("/proc/self/fd"))
    assert before == after
    assert not folder.exists()


def test_under_test_jobs_run_in_this_process_from_the_first_request_on(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_WORKER="auto") as site:
        work = _work(site)
        job = work.delay()
        assert "backburner-worker" not in {thread.name for thread in threading.enumerate()}
        site.client.get(f"/jobs/{job.id}")
        assert job.wait(60).state == "succeeded"
        assert "backburner-worker" in {thread.name for thread in threading.enumerate()}


def test_close_ends_everything_and_may_be_repeated(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_WORKER="threads") as site:
        job = _work(site).delay()
        site.client.get("/")
        job.wait(60)
        site.tasks.close()
        site.tasks.close()
        assert "backburner-worker" not in {thread.name for thread in threading.enumerate()}
        assert job.refresh().state == "succeeded"  # a later use opens the store again


def test_a_name_used_twice_is_refused_with_both_places(site: Site) -> None:
    @site.tasks.task(name="export")
    def one() -> None: ...

    def two() -> None: ...

    line = one.function.__code__.co_firstlineno
    assert message(site.tasks.task(name="export"), two) == (
        f"There is a task named 'export' already, defined at {__file__}:{line}; the one at "
        f"{__file__}:{line + 3} needs another: @tasks.task(name=…)."
    )
    assert site.tasks._tasks["export"] is one


def test_two_functions_behind_one_decorator_are_told_apart(site: Site) -> None:
    def loud(function: Any) -> Any:
        @wraps(function)
        def wrapper() -> None: ...

        return wrapper

    def one() -> None: ...

    def two() -> None: ...

    site.tasks.task(name="export")(loud(one))
    with pytest.raises(DefinitionError, match="There is a task named 'export' already"):
        site.tasks.task(name="export")(loud(two))


def test_a_factory_may_define_its_tasks_each_time_anew(tmp_path: Path) -> None:
    def define() -> Any:
        @tasks.task(name="again")
        def again() -> None: ...

        return again

    try:
        assert define().name == define().name
    finally:
        del tasks._tasks["again"]


def test_an_option_that_does_not_exist_is_refused(site: Site) -> None:
    assert message(site.tasks.task, quue="x") == (
        "@tasks.task() has no option 'quue'. Did you mean queue?"
    )
    assert message(site.tasks.task, colour="red").startswith(
        "@tasks.task() has no option 'colour'. Known are name, queue, priority"
    )


def test_jobs_are_listed_newest_first(site: Site) -> None:
    work = _work(site)
    jobs = [work.using(queue=queue).delay() for queue in ("mail", "slow", "mail")]
    newest_first = jobs[::-1]
    jobs[1].cancel()
    assert site.tasks.jobs() == newest_first
    assert site.tasks.jobs(limit=2) == newest_first[:2]
    assert site.tasks.jobs(limit=2, before=newest_first[1].id) == newest_first[2:]
    assert site.tasks.jobs(queue="mail") == [jobs[2], jobs[0]]
    assert site.tasks.jobs(state="cancelled") == site.tasks.jobs(state=State.CANCELLED) == [jobs[1]]
    assert site.tasks.jobs(task=work) == site.tasks.jobs(task="work") == newest_first
    assert site.tasks.jobs(task="other") == []


@pytest.mark.parametrize("id", [UNKNOWN, "x", "", None, 5, b"x", ["x"], "\ud800" * 22], ids=repr)
def test_what_is_no_id_finds_no_job(site: Site, id: Any) -> None:
    with pytest.raises(JobNotFound) as missing:
        site.tasks.job(id)
    assert str(missing.value) == f"There is no job {id!r}. Check the id; ids are never reused."
    assert missing.value.id == id
    with pytest.raises(JobNotFound):
        site.tasks.jobs(before=id if id is not None else "")


def test_wrong_filters_are_refused(site: Site) -> None:
    with pytest.raises(ValueError, match=r"takes one of state, task, .* not several\."):
        site.tasks.jobs(state="queued", queue="mail")
    states = "queued, running, succeeded, failed, cancelled"
    with pytest.raises(ValueError, match=rf"no state 'pending'\. The states are {states}\.$"):
        site.tasks.jobs(state="pending")
    for limit in (0, -1, True, "10", 1.5):
        with pytest.raises(ValueError, match="must be a whole number of at least 1"):
            site.tasks.jobs(limit=limit)  # type: ignore[arg-type]  # what is refused here
