"""Never run, only checked: a task keeps its parameters and its result's type.

Each ``type: ignore`` is a check of its own: mypy complains of one that is not needed.
"""

from __future__ import annotations

from typing import assert_type

from flask import Flask

from flask_backburner import Backburner, Job, current_job

tasks = Backburner()


@tasks.task
def export(year: int) -> dict[str, int]:
    for month in current_job.track(range(1, 13), message="Exporting"):
        assert_type(month, int)
    return {"rows": year}


@tasks.task(queue="mail", priority=3)
def send(address: str, *, copies: int = 1) -> None:
    current_job.progress(1, total=copies, message=address)


def init(app: Flask) -> None:
    tasks.init_app(app)


def a_task_is_still_the_function() -> None:
    assert_type(export(2026), dict[str, int])
    export("2026")  # type: ignore[arg-type]


def starting_takes_what_the_function_takes() -> None:
    assert_type(export.delay(2026), Job[dict[str, int]])
    assert_type(export.delay(year=2026), Job[dict[str, int]])
    assert_type(send.delay("ada@example.org", copies=2), Job[None])
    export.delay("2026")  # type: ignore[arg-type]
    export.delay()  # type: ignore[call-arg]
    send.delay("ada@example.org", 2)  # type: ignore[call-arg]
    send.delay("ada@example.org", copy=2)  # type: ignore[call-arg]


def options_for_one_start_keep_the_types() -> None:
    assert_type(export.using(countdown=60, queue="slow").delay(2026), Job[dict[str, int]])
    export.using(countdown=60).delay("2026")  # type: ignore[arg-type]


def many_starts_are_a_list_of_jobs() -> None:
    assert_type(export.map([(2024,), (2025,)]), list[Job[dict[str, int]]])


def a_job_knows_its_result() -> None:
    job = export.delay(2026)
    assert_type(job.result, dict[str, int])
    assert_type(job.wait(timeout=1.0).result, dict[str, int])
