"""Configuration: every key's wrong values are refused in words, the right ones are understood."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_backburner import Backburner, ConfigError
from flask_backburner.settings import KEYS, Settings, read_settings


def settings(**config: Any) -> Settings:
    app = Flask("shop", instance_path="/srv/shop")
    app.config.from_mapping(config)
    return read_settings(app)


def refusal(**config: Any) -> str:
    app = Flask("shop")
    app.config.from_mapping(config)
    with pytest.raises(ConfigError) as refused:
        Backburner(app)
    assert refused.value.key == next(iter(config))
    assert "backburner" not in app.extensions
    return str(refused.value)


FILES = (
    "'sqlite:///file.db' (a file in the instance folder), 'sqlite:////folder/file.db' or "
    "'redis://host:6379/0' (a port up to 65535, and the number of a database)"
)

REFUSED: list[tuple[str, list[Any], str]] = [
    (
        "BACKBURNER_URL",
        [
            "redis://",
            "redis://localhost/jobs",
            "redis://localhost:port/0",
            "redis://localhost:99999/0",
            "amqp://localhost//",
            "sqlite:///",
            "sqlite:///jobs/",
            "sqlite:///a?b=c",
            "jobs.db",
            "",
            None,
            5,
        ],
        FILES,
    ),
    ("BACKBURNER_ENGINE", ["rq", "", None, 1, []], "'auto' or 'local' or 'celery'"),
    (
        "BACKBURNER_BROKER_URL",
        ["", "localhost", "sqs://", "redis:///0", "redis://localhost/x", "amqp://", 5],
        "'redis://host:6379/0' or 'amqp://user:password@host:5672//', with a port up to 65535",
    ),
    ("BACKBURNER_NAME", ["", " ", 5, b"shop"], "a text that is not empty"),
    (
        "BACKBURNER_WORKER",
        ["proces", None, True, {}],
        "'auto' or 'process' or 'threads' or 'external'",
    ),
    ("BACKBURNER_APP", ["", 5], "a text that is not empty"),
    ("BACKBURNER_THREADS", [0, -1, "4", 2.0, True, None], "a whole number of at least 1"),
    (
        "BACKBURNER_QUEUES",
        [5, [], {}],
        "a list of at least one queue name, or a text of them with commas between",
    ),
    (
        "BACKBURNER_QUEUES",
        [["a", ""], "a,,b", [5], ""],
        "a list of queue names, none of them empty",
    ),
    ("BACKBURNER_DURABILITY", ["none", None], "'full' or 'normal'"),
    ("BACKBURNER_GRACE", ["25", None, True], "a number of seconds or a timedelta"),
    ("BACKBURNER_GRACE", [-1, float("nan"), float("inf"), 10**400], "from 0 to 1e+09 seconds"),
    ("BACKBURNER_POLL", [0, -0.1, timedelta(0)], "from 0.001 to 1e+09 seconds"),
    ("BACKBURNER_HANG", [0, 0.5, timedelta(0)], "from 1 to 1e+09 seconds"),
    ("BACKBURNER_PROCESSES", [0, -1, "4", 2.0, True], "a whole number of at least 1"),
    ("BACKBURNER_PROCESS_JOBS", [0, "500", None], "a whole number of at least 1"),
    ("BACKBURNER_PROCESS_MEMORY", [0, 1 << 20, "1 GiB"], "a whole number of at least 16777216"),
    ("BACKBURNER_NETWORK_FS", [1, "yes", None], "True or False"),
    ("BACKBURNER_MAX_QUEUED", [0, 1.5, "9"], "a whole number of at least 1"),
    (
        "BACKBURNER_URL_PREFIX",
        ["jobs", "/", "", "//", 5, "/a b", "/<id>", "/a?b", "/a//b"],
        "a path such as '/jobs', or None for no routes",
    ),
    ("BACKBURNER_MAX_ARGS_BYTES", [0, 1, "1 MB"], "a whole number of at least 2"),
    ("BACKBURNER_MAX_RESULT_BYTES", [-1, 1e6], "a whole number of at least 2"),
    ("BACKBURNER_MAX_NESTING", [0, "64"], "a whole number of at least 1"),
    ("BACKBURNER_KEEP", ["7 days", None], "a number of seconds or a timedelta"),
    ("BACKBURNER_KEEP_FAILED", [-1], "from 0 to 1e+09 seconds"),
    ("BACKBURNER_KEEP_BYTES", [-1, "10 GB"], "a whole number of at least 0"),
    ("BACKBURNER_FILES", ["", 5], "a text that is not empty"),
    (
        "BACKBURNER_SUBMIT",
        ["a b", [5], 5],
        "a list of module names such as ['shop', 'lib.reports']",
    ),
    ("BACKBURNER_MAX_STREAMS", ["many", -1, True], "'auto' or a whole number of at least 0"),
    ("BACKBURNER_MAX_WAIT", ["10"], "a number of seconds or a timedelta"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [(key, value, allowed) for key, values, allowed in REFUSED for value in values],
    ids=repr,
)
def test_a_wrong_value_is_refused_with_what_is_allowed(key: str, value: Any, allowed: str) -> None:
    assert (
        refusal(**{key: value}) == f"{key} is {value!r}, but must be {allowed}. Change app.config."
    )


def test_every_key_has_a_wrong_value_here() -> None:
    assert set(KEYS) - {key for key, _, _ in REFUSED} == set()


def test_a_store_in_memory_is_refused_with_the_reason() -> None:
    assert refusal(BACKBURNER_URL="sqlite:///:memory:") == (
        f"BACKBURNER_URL is 'sqlite:///:memory:', but must be {FILES}: a store in memory cannot be "
        "shared with a worker. Change app.config."
    )


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("BACKBURNER_THREAD", "BACKBURNER_THREADS"),
        ("BACKBURNER_QUEUE", "BACKBURNER_QUEUES"),
        ("BACKBURNER_WORKERS", "BACKBURNER_WORKER"),
        ("BACKBURNER_PREFIX", "BACKBURNER_URL_PREFIX"),
        ("BACKBURNER_URI", "BACKBURNER_URL"),
    ],
)
def test_a_key_that_is_not_known_is_refused_with_the_nearest(wrong: str, right: str) -> None:
    assert refusal(**{wrong: 1}) == (
        f"{wrong} is no setting of this Flask-Backburner. Did you mean {right}?"
    )


def test_a_key_that_is_like_none_is_refused_with_all() -> None:
    words = refusal(BACKBURNER_XYZZY=1)
    assert words.startswith("BACKBURNER_XYZZY is no setting of this Flask-Backburner. Known are ")
    assert [key for key in KEYS if key not in words] == []


def test_keys_of_others_are_none_of_our_business() -> None:
    assert settings(BACKBURNERS=1, CELERY_BROKER_URL="x").name == "shop"


def test_without_configuration() -> None:
    found = settings()
    assert found.path == "/srv/shop/backburner.db"
    assert (found.name, found.worker, found.threads, found.queues) == ("shop", "auto", 4, None)
    assert (found.durability, found.grace, found.poll) == ("full", 25.0, 0.1)
    assert (found.max_queued, found.url_prefix) == (100_000, "/jobs")
    limits = found.limits
    assert (limits.arguments_bytes, limits.result_bytes, limits.nesting) == (262144, 1048576, 64)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///jobs.db", "/srv/shop/jobs.db"),
        ("sqlite:///data/jobs.db", "/srv/shop/data/jobs.db"),
        ("sqlite:////var/jobs.db", "/var/jobs.db"),
        ("sqlite:///jöbs 100%.db", "/srv/shop/jöbs 100%.db"),
    ],
)
def test_a_path_is_in_the_instance_folder_or_where_it_says(url: str, path: str) -> None:
    assert settings(BACKBURNER_URL=url).path == path


@pytest.mark.parametrize("value", ["mail, reports", ["mail", "reports"], {"mail", "reports"}])
def test_queues_are_a_list_or_a_text(value: Any) -> None:
    assert settings(BACKBURNER_QUEUES=value).queues == {"mail", "reports"}


def test_durations_are_seconds_or_a_timedelta() -> None:
    assert settings(BACKBURNER_GRACE=timedelta(minutes=1)).grace == 60.0
    assert settings(BACKBURNER_GRACE=0).grace == 0.0


@pytest.mark.parametrize(("value", "prefix"), [("/work/", "/work"), ("/a/b", "/a/b"), (None, None)])
def test_a_prefix_is_a_path_or_none(value: str | None, prefix: str | None) -> None:
    assert settings(BACKBURNER_URL_PREFIX=value).url_prefix == prefix


def test_values_come_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLASK_BACKBURNER_THREADS", "8")
    monkeypatch.setenv("FLASK_BACKBURNER_GRACE", "2.5")
    monkeypatch.setenv("FLASK_BACKBURNER_URL", f"sqlite:///{tmp_path}/jobs.db")
    app = Flask("shop")
    app.config.from_prefixed_env()
    found = read_settings(app)
    assert (found.threads, found.grace, found.path) == (8, 2.5, f"{tmp_path}/jobs.db")
