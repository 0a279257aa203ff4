"""The job document: what is worked out of a record at a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from flask_backburner.document import job_document, poll_after, timestamp
from flask_backburner.record import Fault, JobRecord, Progress, State
from flask_backburner.store.memory import MemoryStore
from flask_backburner.store.new_job import NewJob

CREATED = datetime(2026, 11, 20, 9, tzinfo=UTC)
NOW = CREATED.timestamp()
ID = "4kYbGz0P1vQm8sWc2nRt6x"


def record(**changes: Any) -> JobRecord:
    (new,) = MemoryStore().add([NewJob(ID, "work", b"{}")], 10)
    return replace(new, created_at=CREATED, run_at=CREATED, updated_at=CREATED, **changes)


def running(current: float | None, total: float | None, *, spent: float) -> JobRecord:
    return record(
        state=State.RUNNING,
        started_at=CREATED,
        progress=Progress(current, total),
        progressed_at=CREATED + timedelta(seconds=spent),
    )


def remaining(found: JobRecord, after: float) -> float | None:
    progress: dict[str, Any] = job_document(found, NOW + after, base="/jobs")["progress"]
    left: float | None = progress["remaining"]
    return left


def test_what_remains_follows_from_the_speed_so_far() -> None:
    assert remaining(running(30, 100, spent=30), after=30) == 70.0
    assert remaining(running(30, 100, spent=30), after=40) == 60.0
    assert remaining(running(30, 100, spent=30), after=500) == 0.0
    assert remaining(running(100, 100, spent=30), after=30) == 0.0


def test_nobody_knows_what_remains_of_a_job_without_a_share() -> None:
    assert remaining(running(30, None, spent=30), after=30) is None
    assert remaining(running(0, 100, spent=30), after=30) is None
    assert remaining(record(), after=30) is None
    done = replace(running(30, 100, spent=30), state=State.FAILED)
    assert remaining(done, after=30) is None


@pytest.mark.parametrize(
    ("age", "pause"),
    [(0, 0.3), (1.9, 0.3), (2, 1.0), (59, 1.0), (60, 2.0), (599, 2.0), (600, 5.0), (86400, 5.0)],
)
def test_the_pause_grows_with_age(age: float, pause: float) -> None:
    assert poll_after(record(), NOW + age) == pause
    assert poll_after(running(None, None, spent=0), NOW + age) == pause


def test_the_pause_is_shorter_at_the_predicted_end() -> None:
    found = running(990, 1000, spent=990)
    assert poll_after(found, NOW + 990) == 5.0
    assert poll_after(found, NOW + 997) == 3.0
    assert poll_after(found, NOW + 999.9) == 0.3
    assert poll_after(found, NOW + 1050) == 5.0


@pytest.mark.parametrize(
    ("ahead", "pause"), [(3600, 15.0), (20, 15.0), (10, 10.0), (1.5, 1.5), (0.1, 0.3), (0, 0.3)]
)
def test_before_a_far_off_time_the_pause_is_long(ahead: float, pause: float) -> None:
    found = replace(record(), run_at=CREATED + timedelta(seconds=ahead))
    assert poll_after(found, NOW) == pause


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_a_job_that_is_over_is_not_asked_again(state: State) -> None:
    assert poll_after(record(state=state), NOW) is None


def test_a_job_that_waits_for_its_next_attempt_is_asked_for_when_that_begins() -> None:
    failed = record(failures=1, retries=3, fault=Fault("error", "secret"), attempt=1)
    soon = replace(failed, run_at=CREATED + timedelta(seconds=7))
    assert poll_after(soon, NOW) == 7.0
    assert poll_after(replace(soon, run_at=CREATED + timedelta(hours=1)), NOW) == 15.0
    document = job_document(soon, NOW, base=None, reveal=True)
    assert (document["state"], document["retries_left"], document["attempt"]) == ("queued", 2, 1)
    assert document["error"] is None


def test_a_job_tells_until_when_it_must_begin_and_that_it_does_not_stop() -> None:
    document = job_document(record(), NOW, base=None)
    assert (document["start_by"], document["overdue"]) == (None, False)
    found = record(start_by=CREATED + timedelta(minutes=1), overdue=True, state=State.RUNNING)
    document = job_document(found, NOW, base=None)
    assert (document["start_by"], document["overdue"]) == ("2026-11-20T09:01:00.000Z", True)


def error(fault: Fault, *, reveal: bool = False) -> Any:
    found = record(state=State.FAILED, fault=fault)
    return job_document(found, NOW, base="/jobs", reveal=reveal)["error"]


def test_an_error_is_a_code_and_words_for_the_user() -> None:
    secret = Fault("error", "KeyError: 'secret'", traceback="Traceback …")
    assert error(secret) == {
        "code": "error",
        "message": f"The job failed because of an error. Its id is {ID}.",
    }
    assert error(secret, reveal=True) == {"code": "error", "message": "KeyError: 'secret'"}
    assert error(Fault("error", "No rows", public=True)) == {"code": "error", "message": "No rows"}
    assert error(Fault("bad_result", "a secret set"))["code"] == "bad_result"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("lost", "The job was interrupted and has been given up."),
        ("timeout", "The job took too long and was stopped."),
        ("expired", "The job could not be started in time."),
    ],
)
def test_what_stopped_a_job_is_said_in_plain_words(code: str, words: str) -> None:
    fault = Fault(code, "worker 17 on db.internal")
    assert error(fault) == {"code": code, "message": f"{words} Its id is {ID}."}
    assert error(fault, reveal=True) == {"code": code, "message": "worker 17 on db.internal"}


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.CANCELLED])
def test_only_a_failed_job_has_an_error(state: State) -> None:
    found = record(state=state, fault=Fault("error", "Not yet", public=True))
    assert job_document(found, NOW, base="/jobs", reveal=True)["error"] is None


def test_links_are_below_the_base_and_only_where_there_are_routes() -> None:
    links = job_document(record(), NOW, base="/shop/jobs")["links"]
    assert links["self"] == f"/shop/jobs/{ID}"
    assert all(link.startswith(f"/shop/jobs/{ID}") for link in links.values())
    assert job_document(record(), NOW, base=None)["links"] == {}


def test_a_time_is_written_in_utc_to_the_millisecond() -> None:
    assert timestamp(datetime(2026, 11, 20, 9, 0, 0, 123999, UTC)) == "2026-11-20T09:00:00.123Z"
    assert timestamp(CREATED) == "2026-11-20T09:00:00.000Z"
    assert timestamp(None) is None
