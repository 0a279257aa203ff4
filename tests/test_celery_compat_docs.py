"""The page for Celery's users names all that there is, and all that is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from flask_backburner import celery_compat
from flask_backburner.celery_compat import app, call, canvas, configuration, result, schedules, task
from flask_backburner.celery_compat import exceptions as errors
from flask_backburner.celery_compat.request import Context

PAGE = (Path(__file__).parents[1] / "docs" / "celery-users.md").read_text()
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
CODE = {word for code in re.findall(r"`([^`]+)`", PROSE) for word in re.findall(r"\w+", code)}

# What is for our own parts, beside what Celery's users call.
OURS = {
    "Celery": {
        "add",
        "add_pending",
        "added",
        "bind",
        "definition",
        "definitions",
        "fits",
        "import_modules",
        "installation",
        "last_resort",
        "main",
        "modules",
        "run_eagerly",
        "start_task",
        "task_classes",
    },
    "Task": {"app", "hard_limit", "most_retries", "retry_of", "soft_limit"},
    "Context": {"get", "told"},
}


def public(names: Iterable[str], kind: str = "") -> set[str]:
    return {name for name in names if not name.startswith("_")} - OURS.get(kind, set())


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("package", celery_compat.__all__),
        ("Celery", dir(celery_compat.Celery)),
        ("Task", dir(celery_compat.Task)),
        ("AsyncResult", dir(result.AsyncResult)),
        ("Context", vars(Context())),
        ("canvas", canvas.__all__),
        ("schedules", schedules.__all__),
        ("settings", configuration.DEFAULTS),
        ("refused settings", [*configuration.REFUSED, *configuration.JSON_ONLY]),
        ("options of a call", [*call.KNOWN, *call.REFUSED]),
        ("refused of Celery", app.REFUSED),
        ("refused of Task", task.REFUSED),
        ("refused of AsyncResult", result.REFUSED),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_name_is_on_the_page(kind: str, names: Iterable[str]) -> None:
    assert public(names, kind) - CODE == set()


def test_every_exception_that_apps_meet_is_on_the_page() -> None:
    inner = {"CeleryError", "ImproperlyConfigured", "TaskError", "TaskPredicate"}
    found = {name for name, each in vars(errors).items() if isinstance(each, type)}
    assert found - inner - {"Any", "BackburnerError", "StoreError", "datetime"} - CODE == set()


# What the examples of Celery's guides "Calling", "Tasks" and "Canvas" use.
GUIDES = """
add_to_chord after_return allow_join_result apply apply_async args autoretry_for base
before_start bind chain children chord chunks compression connection countdown
default_retry_delay delay delivery_info eta exc expires get_task_logger group headers hostname
id Ignore ignore_result interval is_eager kwargs link link_error map max_retries meta name
on_failure on_message on_retry on_success OperationalError parent priority producer propagate
queue rate_limit Reject replace request retries Retry retry retry_backoff retry_backoff_max
retry_jitter retry_kwargs retry_policy routing_key run s serializer shared_task si signature
soft_time_limit SoftTimeLimitExceeded starmap state subtask Task task_id throws time_limit
track_started typing update_state xmap xstarmap
"""


def test_every_name_of_celerys_guides_is_on_the_page() -> None:
    assert set(re.findall(r"\w+", GUIDES)) - CODE == set()
