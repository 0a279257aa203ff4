"""Celery's settings, signals, and what is refused by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flask_backburner import celery_compat
from flask_backburner.celery_compat import Celery, Task, canvas, configuration, schedules, signals
from flask_backburner.celery_compat.exceptions import ImproperlyConfigured, NotSupported, Reject
from flask_backburner.celery_compat.result import GroupResult
from flask_backburner.celery_compat.utils.log import get_task_logger
from support.celery_shop import Shop, shop_in

TRACKS = "task_track_started"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_in(tmp_path) as shop:
        yield shop


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged once is logged once in each test."""
    monkeypatch.setattr(configuration, "_said", set())


# Settings


@pytest.mark.parametrize(
    "settings",
    [
        {"task_track_started": True},
        {"CELERY_TASK_TRACK_STARTED": True},
        {"CELERY_TRACK_STARTED": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_setting_is_known_by_its_new_and_its_old_names(
    shop: Shop, settings: dict[str, Any]
) -> None:
    shop.celery.conf.update(settings)
    assert shop.celery.conf[TRACKS] is True
    assert shop.celery.conf.task_track_started is True
    (old,) = settings
    assert shop.celery.conf[old] is True


def test_settings_come_from_modules_classes_mappings_and_with_a_namespace(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Config:
        task_default_queue = "from class"
        helper = logging.getLogger

    def queue() -> Any:
        return shop.celery.conf.task_default_queue

    assert queue() == "default"
    shop.celery.config_from_object(Config)
    assert queue() == "from class"
    shop.celery.config_from_object({"task_default_queue": "from mapping"})
    assert queue() == "from mapping"
    shop.celery.config_from_object(
        SimpleNamespace(SHOP_TASK_DEFAULT_QUEUE="from namespace", OTHER=1), namespace="SHOP"
    )
    assert queue() == "from namespace"
    shop.celery.config_from_object("support.celery_shop:SETTINGS")
    assert queue() == "from text"
    shop.celery.conf.task_default_queue = "by attribute"
    assert queue() == "by attribute"
    monkeypatch.setenv("SHOP_CONFIG", "support.celery_shop:SETTINGS")
    shop.celery.config_from_envvar("SHOP_CONFIG")
    assert queue() == "from text"


def test_the_default_queue_is_that_of_tasks_that_name_none(shop: Shop) -> None:
    shop.celery.conf.task_default_queue = "counter"

    @shop.celery.task
    def work() -> None: ...

    assert work.delay().job.queue == "counter"


def test_settings_given_to_the_celery_object_are_its_own(shop: Shop) -> None:
    celery = Celery("nobody", broker="redis://", backend="rpc://", timezone="Europe/Paris")
    celery.conf.update(shop.app.config)  # or it would be the other tests' too
    conf = celery.conf
    assert (conf.broker_url, conf.result_backend, conf.timezone) == (
        "redis://",
        "rpc://",
        "Europe/Paris",
    )


def test_a_configuration_that_is_not_there_is_an_error_unless_silent(shop: Shop) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"no configuration 'no\.such'"):
        shop.celery.config_from_object("no.such")
    shop.celery.config_from_object("no.such", silent=True)
    shop.celery.config_from_envvar("NO_SUCH_VARIABLE", silent=True)


def test_a_time_zone_that_is_none_is_an_error(shop: Shop) -> None:
    shop.celery.conf.timezone = "Mars/Olympus"
    with pytest.raises(ImproperlyConfigured, match="'Mars/Olympus', which is no time zone"):
        _ = shop.celery.conf.zone


def test_what_has_no_effect_is_logged_once(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        shop.celery.conf.update(worker_concurrency=4, colour="green", SECRET_KEY="hidden")
        shop.celery.conf.update({"CELERYD_CONCURRENCY": 4, "CELERY_NO_SUCH_THING": 1})
    assert [record.getMessage() for record in caplog.records] == [
        "Celery's setting worker_concurrency has no effect here",
        "colour is no setting of Celery's that is known here and has no effect",
        "no_such_thing is no setting of Celery's that is known here and has no effect",
    ]


def test_the_settings_of_others_are_kept_and_not_shown(shop: Shop) -> None:
    shop.celery.conf.update(SECRET_KEY="hidden")
    assert shop.celery.conf["SECRET_KEY"] == "hidden"
    assert "SECRET_KEY" in shop.celery.conf
    assert "hidden" not in repr(shop.celery.conf)
    with pytest.raises(AttributeError, match="has no setting 'no_such'"):
        _ = shop.celery.conf.no_such
    assert shop.celery.conf.get("no_such", 3) == 3


@pytest.mark.parametrize("key", ["beat_schedule", "CELERYBEAT_SCHEDULE", "CELERY_BEAT_SCHEDULE"])
def test_a_schedule_is_refused(shop: Shop, key: str) -> None:
    with pytest.raises(NotSupported, match="no setting beat_schedule: periodic tasks are not"):
        shop.celery.conf.update({key: {"nightly": {}}})
    shop.celery.conf.update({key: {}})


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("task_serializer", "json", "pickle"),
        ("result_serializer", "json", "yaml"),
        ("accept_content", ["json", "pickle"], ["pickle"]),
    ],
)
def test_only_json_is_accepted(shop: Shop, key: str, good: Any, bad: Any) -> None:
    shop.celery.conf[key] = good
    with pytest.raises(NotSupported, match=f"no setting {key}=.*arguments and results are JSON"):
        shop.celery.conf[key] = bad


def test_a_rate_limit_is_accepted_and_said_to_have_no_effect(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    @shop.celery.task(rate_limit="10/m")
    def work() -> str:
        return "done"

    result = work.delay()
    shop.run()
    assert result.get() == "done"
    assert f"The rate_limit of task {__name__}.work has no effect here" in caplog.text


# Signals


def test_signals_tell_of_success_failure_and_retry(shop: Shop) -> None:
    heard: list[Any] = []

    @shop.celery.task(bind=True, default_retry_delay=0)
    def work(self: Any, way: str) -> str:
        if way == "retry" and not self.request.retries:
            raise self.retry(exc=OSError("away"))
        if way == "fail":
            raise ValueError("bad")
        return "done"

    def note(name: str, *wanted: str) -> Callable[..., None]:
        def receive(signal: Any, sender: Any, **named: Any) -> None:
            heard.append((name, *(str(named[each]) for each in wanted)))

        return receive

    wished = [
        (signals.task_prerun, note("prerun", "args")),
        (signals.task_success, note("success", "result")),
        (signals.task_failure, note("failure", "exception")),
        (signals.task_retry, note("retry", "reason")),
        (signals.task_postrun, note("postrun", "state", "retval")),
    ]
    for signal, receiver in wished:
        signal.connect(receiver, sender=work)
    try:
        for way in ("good", "fail", "retry"):
            work.delay(way)
            shop.run()
            heard.append(way)
    finally:
        assert all(signal.disconnect(receiver, sender=work) for signal, receiver in wished)
    assert heard == [
        ("prerun", "['good']"),
        ("success", "done"),
        ("postrun", "SUCCESS", "done"),
        "good",
        ("prerun", "['fail']"),
        ("failure", "bad"),
        ("postrun", "FAILURE", "bad"),
        "fail",
        ("prerun", "['retry']"),
        ("retry", "Task can be retried: OSError('away')"),
        ("postrun", "RETRY", "Task can be retried: OSError('away')"),
        ("prerun", "['retry']"),
        ("success", "done"),
        ("postrun", "SUCCESS", "done"),
        "retry",
    ]


def test_connect_decorates_and_a_receiver_that_fails_changes_nothing(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    @signals.task_success.connect
    def breaks(**named: Any) -> None:
        raise RuntimeError("receiver")

    @signals.task_success.connect(sender=None, weak=False)
    def hears(result: Any, **named: Any) -> None:
        heard.append(result)

    @shop.celery.task
    def work() -> str:
        return "done"

    try:
        result = work.delay()
        shop.run()
    finally:
        assert signals.task_success.disconnect(breaks)
        assert signals.task_success.disconnect(hears)
    assert (heard, result.get()) == (["done"], "done")
    assert "A receiver of task_success failed" in caplog.text
    assert signals.task_success.disconnect(hears) is False


# What is not here


@pytest.mark.parametrize("name", [*canvas.__all__, *schedules.__all__])
def test_canvas_and_schedules_can_be_imported_and_say_what_is_missing(name: str) -> None:
    found = getattr(canvas, name, None) or getattr(schedules, name)
    with pytest.raises(NotSupported, match=rf"has no {name}\(\): .* not here yet"):
        found(1, 2)


def test_the_packages_own_names_of_the_canvas_are_the_same() -> None:
    assert celery_compat.chain is canvas.chain
    assert celery_compat.group is canvas.group


@pytest.mark.parametrize("name", ["s", "si", "signature", "subtask", "chunks", "map", "starmap"])
def test_signatures_of_tasks_are_refused(shop: Shop, name: str) -> None:
    @shop.celery.task
    def work() -> None: ...

    with pytest.raises(NotSupported, match="no signature of a task"):
        getattr(work, name)(1)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("link", "tasks that follow each other"),
        ("link_error", "tasks that follow each other"),
        ("routing_key", "there is no broker that would route it. Use queue="),
        ("exchange", "there is no broker"),
        ("time_limit", "give it to @celery.task"),
        ("soft_time_limit", "give it to @celery.task"),
        ("serializer", "arguments and results are JSON"),
        ("no_such_option", "it is not known here"),
    ],
)
def test_options_of_a_call_that_are_not_here_are_refused_by_name(
    shop: Shop, option: str, reason: str
) -> None:
    @shop.celery.task
    def work() -> None: ...

    with pytest.raises(NotSupported, match=rf"apply_async\({option}.*{reason}"):
        work.apply_async(**{option: "pickle"})
    assert shop.tasks.jobs() == []


def test_options_that_concern_only_a_broker_change_nothing(shop: Shop) -> None:
    @shop.celery.task
    def work() -> str:
        return "done"

    result = work.apply_async(
        retry=True, retry_policy={"max_retries": 3}, compression="zlib", serializer="json"
    )
    shop.run()
    assert result.get() == "done"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("add_periodic_task", "periodic tasks are not here yet"),
        ("on_after_configure", "periodic tasks are not here yet"),
        ("worker_main", "no worker of Celery's is needed"),
        ("start", "no worker of Celery's is needed"),
        ("connection", "there is no broker to talk to"),
        ("GroupResult", "tasks that follow each other"),
    ],
)
def test_parts_of_the_celery_object_that_are_not_here_say_why(
    shop: Shop, name: str, reason: str
) -> None:
    part = getattr(shop.celery, name)
    with pytest.raises(NotSupported, match=rf"no Celery\.{name}.*{reason}"):
        part()
    with pytest.raises(NotSupported, match=rf"no Celery\.{name}\.connect"):
        part.connect(print)


def test_a_name_that_is_not_even_celerys_is_no_attribute(shop: Shop) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_thing'"):
        _ = shop.celery.no_such_thing
    assert not hasattr(signals, "no_such_signal")


def test_workers_take_no_commands(shop: Shop) -> None:
    with pytest.raises(NotSupported, match=r"Celery\.control\.inspect: workers take no commands"):
        shop.celery.control.inspect()


def test_results_that_wait_for_others_are_refused(shop: Shop) -> None:
    result = shop.celery.AsyncResult("nobody")
    assert result.parent is None
    for name in ("children", "collect", "then", "graph", "build_graph", "as_tuple"):
        with pytest.raises(NotSupported, match=rf"no AsyncResult\.{name}:"):
            getattr(result, name)
    with pytest.raises(NotSupported, match=r"get\(on_message=…\): there are no messages"):
        result.get(on_message=print)
    with pytest.raises(NotSupported, match=r"GroupResult\.restore: tasks that belong together"):
        GroupResult.restore("nobody")
    assert not hasattr(result, "no_such_thing")


def test_what_a_task_has_of_a_broker_or_of_django_is_refused(shop: Shop) -> None:
    @shop.celery.task
    def work() -> None: ...

    for name in ("backend", "delay_on_commit", "signature_from_request"):
        with pytest.raises(NotSupported, match=rf"no Task\.{name}:"):
            getattr(work, name)
    assert not hasattr(work, "no_such_thing")


def test_a_visitor_cannot_be_derived_from_and_a_request_not_replaced(shop: Shop) -> None:
    with pytest.raises(NotSupported, match="no StampingVisitor to derive from"):

        class Stamps(canvas.StampingVisitor):  # type: ignore[misc,valid-type]  # that is the point
            pass

    class Requested(Task):
        Request = "shop:Request"

    with pytest.raises(NotSupported, match=r"no Task\.Request"):
        shop.celery.task(base=Requested)(test_what_a_task_logs_is_in_its_jobs_log)


@pytest.mark.parametrize("name", sorted(signals.NEVER_SENT))
def test_a_signal_that_is_never_sent_says_so(name: str) -> None:
    signal = getattr(signals, name)
    with pytest.raises(NotSupported, match=f"no signal {name}.connect: sent are task_prerun"):
        signal.connect(print)


def test_reject_and_pydantic_are_refused(shop: Shop) -> None:
    with pytest.raises(NotSupported, match="there is no broker's message to hand back"):
        raise Reject("no", requeue=True)
    with pytest.raises(NotSupported, match="arguments are read by their type hints"):
        shop.celery.task(pydantic=True)(test_reject_and_pydantic_are_refused)
    with pytest.raises(NotSupported, match=r"task\(serializer='pickle'\)"):
        shop.celery.task(serializer="pickle")(test_reject_and_pydantic_are_refused)


def test_what_a_task_logs_is_in_its_jobs_log(shop: Shop) -> None:
    logger = get_task_logger(__name__)

    @shop.celery.task
    def work() -> None:
        logger.warning("low on %s", "bolts")

    result = work.delay()
    shop.run()
    assert [(line.level, line.text) for line in result.job.log()] == [("warning", "low on bolts")]
