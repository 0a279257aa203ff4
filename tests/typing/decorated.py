"""Never run, only checked: a task keeps its parameters and its result's type.

Each ``type: ignore`` is a check of its own: mypy complains of one that is not needed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import assert_type

from flask import Flask

from flask_backburner import Backburner, Backoff, Job, current_job

tasks = Backburner()


@tasks.task
def export(year: int) -> dict[str, int]:
    for month in current_job.track(range(1, 13), message="Exporting"):
        assert_type(month, int)
    return {"rows": year}


@tasks.task(queue="mail", priority=3)
def send(address: str, *, copies: int = 1) -> None:
    current_job.progress(1, total=copies, message=address)


@tasks.task(
    retries=3,
    backoff=Backoff(base=2),
    retry_on=(ConnectionError, TimeoutError),
    timeout=timedelta(minutes=5),
    process=True,
    expires=3600,
    on_crash="fail",
)
def thumbnail(picture: int) -> str:
    return current_job.step("render", render, picture, width=200)


def render(picture: int, *, width: int) -> str:
    return f"{picture}-{width}.png"


@tasks.task(retries=5, backoff=[1, 5, timedelta(minutes=1)], retry_on=OSError)
async def crawl(address: str) -> int:
    for page in current_job.track([1, 2, 3], resume=True):
        assert_type(page, int)
        current_job.checkpoint["page"] = page
    return await current_job.step("fetch", fetch, address)


async def fetch(address: str) -> int:
    if not address:
        current_job.retry(countdown=10)
    return len(address)


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


def an_option_has_its_type() -> None:
    tasks.task(retries="3")  # type: ignore[call-overload]
    tasks.task(on_crash="ignore")  # type: ignore[call-overload]
    tasks.task(backof=3)  # type: ignore[call-overload]
    export.using(expires=datetime.now(UTC), retries=2).delay(2026)


async def a_step_takes_what_its_function_takes() -> None:
    assert_type(current_job.step("render", render, 1, width=2), str)
    assert_type(await current_job.step("fetch", fetch, "x"), int)
    current_job.step("render", render, "1", width=2)  # type: ignore[arg-type]


def an_async_task_starts_like_any_other() -> None:
    crawl.delay("https://example.org")
    crawl.delay(1)  # type: ignore[arg-type]


def many_starts_are_a_list_of_jobs() -> None:
    assert_type(export.map([(2024,), (2025,)]), list[Job[dict[str, int]]])


def a_job_knows_its_result() -> None:
    job = export.delay(2026)
    assert_type(job.result, dict[str, int])
    assert_type(job.wait(timeout=1.0).result, dict[str, int])
