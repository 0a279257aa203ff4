"""Redis, a broker and Celery in the configuration; what a worker checks before it starts."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool as Prefork
from flask import Flask

from flask_backburner import ConfigError
from flask_backburner.engine.celery.checks import (
    NotReady,
    check_billiard,
    check_json,
    check_pool,
)
from flask_backburner.engine.celery.engine import CeleryEngine
from flask_backburner.engine.celery.names import QueueNames
from flask_backburner.engine.local.engine import LocalEngine
from flask_backburner.settings import Settings, read_settings
from support.apps import site_in
from support.programs import said

REDIS = "redis://127.0.0.1:6399/0"


def settings(**config: Any) -> Settings:
    app = Flask("shop", instance_path="/srv/shop")
    app.config.from_mapping(config)
    return read_settings(app)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost/",
        "redis://localhost:6379/3",
        "rediss://user:word@redis.example.org:6380/0?ssl_cert_reqs=required",
    ],
)
def test_a_redis_is_a_store_whose_jobs_celery_runs(url: str) -> None:
    found = settings(BACKBURNER_URL=url)
    assert (found.redis, found.engine, found.broker) == (url, "celery", url)
    assert found.files == "/srv/shop/backburner.files/shop"


def test_a_file_is_a_store_for_our_own_workers() -> None:
    found = settings(BACKBURNER_BROKER_URL="amqp://localhost//")
    assert (found.redis, found.engine, found.broker) == (None, "local", None)


@pytest.mark.parametrize(
    "broker", ["redis://localhost:6379/1", "amqp://me:word@localhost:5672/place", "amqps://host//"]
)
def test_the_broker_may_be_another_server(broker: str) -> None:
    found = settings(BACKBURNER_URL=REDIS, BACKBURNER_BROKER_URL=broker)
    assert (found.redis, found.broker) == (REDIS, broker)


def test_our_own_workers_on_redis_are_there_for_tests() -> None:
    found = settings(BACKBURNER_URL=REDIS, BACKBURNER_ENGINE="local")
    assert (found.redis, found.engine, found.broker) == (REDIS, "local", None)


def test_celery_on_a_file_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError) as refused:
        settings(BACKBURNER_ENGINE="celery")
    assert refused.value.key == "BACKBURNER_ENGINE"
    assert str(refused.value) == (
        "BACKBURNER_ENGINE is 'celery', whose workers may run on other machines, but the store is "
        "a file on this one. Set BACKBURNER_URL to 'redis://host:6379/0', or leave "
        "BACKBURNER_ENGINE as it was."
    )


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://me:secret@host/0", "redis://me:***@host/0"),
        ("redis://:secret@host", "redis://:***@host"),
    ],
)
def test_the_place_of_a_store_is_told_without_its_password(url: str, place: str) -> None:
    assert settings(BACKBURNER_URL=url).place == place


def test_a_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(ConfigError) as refused:
        settings(BACKBURNER_URL="redis://me:secret@host/jobs")
    assert "secret" not in str(refused.value)
    assert "redis://me:***@host/jobs" in str(refused.value)


def test_the_engine_follows_the_store(tmp_path: Path) -> None:
    with site_in(tmp_path) as site:
        assert isinstance(site.tasks.installation(site.app).engine, LocalEngine)
    with site_in(tmp_path, BACKBURNER_URL=REDIS) as site:
        assert isinstance(site.tasks.installation(site.app).engine, CeleryEngine)


def test_nothing_is_connected_at_init(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_URL=REDIS) as site:  # where nobody listens
        assert site.tasks.celery_app.main == "backburner.shop"


def test_without_celery_there_is_no_celery_app(tmp_path: Path) -> None:
    with site_in(tmp_path) as site, site.app.app_context():
        with pytest.raises(ConfigError) as refused:
            _ = site.tasks.celery_app
        assert str(refused.value) == (
            f"The app 'shop' has no Celery app, as it keeps its jobs in {tmp_path}/backburner.db. "
            "Set BACKBURNER_URL to 'redis://host:6379/0'."
        )


WITHOUT_CELERY = """
import sys
sys.modules["celery"] = None
from flask import Flask
from flask_backburner import Backburner
app = Flask("shop")
app.config["BACKBURNER_URL"] = "redis://me:secret@localhost/0"
try:
    Backburner(app)
except ValueError as error:
    print(error)
"""


def test_if_celery_is_not_installed_the_refusal_says_how_to_get_it() -> None:
    assert said(WITHOUT_CELERY) == (
        "BACKBURNER_URL is 'redis://me:***@localhost/0', for which jobs are run by Celery, and "
        "the package celery is not installed. Install it with: "
        "pip install 'Flask-Backburner[celery]'"
    )


SQLITE_ONLY = """
import sys
from flask import Flask
from flask_backburner import Backburner
Backburner(Flask("shop"))
print([name for name in ("celery", "kombu", "redis") if name in sys.modules])
"""


def test_a_file_as_store_loads_nothing_of_celerys() -> None:
    assert said(SQLITE_ONLY) == "[]"


# What a worker checks


def test_messages_are_json_and_nothing_else(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_URL=REDIS) as site:
        conf = site.tasks.celery_app.conf
        assert (conf.accept_content, conf.result_accept_content) == (["json"], ["json"])
        assert (conf.task_serializer, conf.result_serializer) == ("json", "json")
        assert (conf.result_backend, conf.task_ignore_result) == (None, True)
        check_json(site.tasks.celery_app)


def test_a_worker_that_would_take_more_than_json_is_refused(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_URL=REDIS) as site:
        site.tasks.celery_app.conf.accept_content = ["json", "pickle"]
        with pytest.raises(NotReady) as refused:
            check_json(site.tasks.celery_app)
    assert str(refused.value) == (
        "Celery is configured to take more than JSON: accept_content is ['json', 'pickle']. "
        "Leave these settings of celery_app as they were: messages carry nothing but a hint."
    )


@pytest.mark.parametrize("found", ["4.3.1", "4.2.9", "3.6.4.0", "4.3"])
def test_an_old_billiard_is_refused(found: str) -> None:
    with pytest.raises(NotReady) as refused:
        check_billiard(found)
    assert str(refused.value) == (
        f"billiard {found} is installed, with which a nested message can end the worker. "
        "Install at least 4.3.2: pip install 'Flask-Backburner[celery]'"
    )


@pytest.mark.parametrize("found", ["4.3.2", "4.3.10", "4.10.0", "5.0"])
def test_a_new_billiard_is_fine(found: str) -> None:
    check_billiard(found)


class Greenlets:
    """Stands for a pool in which jobs cannot be told from each other."""


def test_other_pools_are_refused(tmp_path: Path) -> None:
    with site_in(tmp_path, BACKBURNER_URL=REDIS) as site:
        installation = site.tasks.installation(site.app)
        check_pool(installation, Prefork)
        with pytest.raises(NotReady, match=r"Choose --pool prefork or threads\.$"):
            check_pool(installation, Greenlets)


@pytest.mark.parametrize(
    ("broker", "key", "mode"),
    [
        ("rediss://host/0", "ssl_cert_reqs", ssl.CERT_REQUIRED),
        ("rediss://host/0?ssl_ca_certs=/x", "ssl_cert_reqs", ssl.CERT_REQUIRED),
        ("rediss://host/0?ssl_cert_reqs=none", "ssl_cert_reqs", ssl.CERT_NONE),
        ("amqps://host//", "cert_reqs", ssl.CERT_REQUIRED),
    ],
)
def test_a_broker_with_tls_has_to_show_a_certificate(
    tmp_path: Path, broker: str, key: str, mode: ssl.VerifyMode
) -> None:
    with site_in(tmp_path, BACKBURNER_URL=REDIS, BACKBURNER_BROKER_URL=broker) as site:
        assert site.tasks.celery_app.connection_for_write().ssl[key] == mode


# Names in the broker


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        ("mail", "backburner.shop.mail"),
        ("a.b", "backburner.shop.a%2Eb"),
        ("größe 1", "backburner.shop.gr%C3%B6%C3%9Fe%201"),
    ],
)
def test_a_queue_has_a_name_in_the_broker_and_back(queue: str, name: str) -> None:
    names = QueueNames("shop")
    assert names.of(queue) == name
    assert names.served([name]) == {queue}


def test_who_listens_at_the_whole_serves_all() -> None:
    names = QueueNames("shop")
    assert names.for_worker(None) == ["backburner.shop"]
    assert names.served(["backburner.shop.mail", "backburner.shop"]) is None
    assert names.for_worker({"b", "a"}) == ["backburner.shop.a", "backburner.shop.b"]


def test_a_name_that_is_none_of_ours_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="no queue of this application") as refused:
        QueueNames("shop").served(["mail"])
    assert str(refused.value) == (
        "'mail' is no queue of this application in the broker. Its queue 'mail' is called "
        "'backburner.shop.mail' there, and all its queues 'backburner.shop'."
    )


def test_apps_do_not_share_names() -> None:
    assert QueueNames("a.b").everything != QueueNames("a").of("b")


def test_no_name_is_too_long_for_a_broker() -> None:
    names = QueueNames("x" * 500)
    longest = [names.everything, names.of("y" * 500), names.of("y" * 499 + "z")]
    assert max(map(len, longest)) <= 255
    assert len(set(longest)) == 3
