"""Options of a task: what makes no sense is refused where it is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flask_backburner import Backburner, JobCancelled
from flask_backburner.errors import DefinitionError


def nothing() -> None:
    """Stands for a task."""


SECONDS = "must be seconds, 0 or more, a timedelta, a sequence of these, or a Backoff(…)."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retries": -1}, "retries is -1, but must be a whole number from 0 to 1000000"),
        ({"retries": True}, "retries is True, but must be a whole number"),
        ({"retries": 1.0}, "retries is 1.0, but must be a whole number"),
        ({"backoff": -1}, f"backoff is -1, but {SECONDS}"),
        ({"backoff": "soon"}, f"backoff is 'soon', but {SECONDS}"),
        ({"backoff": [1, None]}, f"backoff is None, but {SECONDS}"),
        ({"backoff": []}, "backoff is empty, but must have at least one number of seconds."),
        ({"retry_on": "OSError"}, "retry_on has 'OSError', but takes classes of exceptions only"),
        (
            {"retry_on": OSError()},
            "retry_on has <OSError object>, but takes classes of exceptions only",
        ),
        ({"retry_on": (OSError, int)}, "retry_on has <class int>, but takes classes"),
        ({"timeout": 0}, "timeout is 0, but must be seconds, more than 0, a timedelta, or None."),
        ({"timeout": "60"}, "timeout is '60', but must be seconds, more than 0"),
        ({"expires": 0}, "expires is 0, but must be seconds from now, more than 0, a timedelta"),
        (
            {"expires": datetime(2030, 1, 1, tzinfo=UTC)},
            "expires is datetime.datetime(2030, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), but "
            "must be seconds from the start of each job, or a timedelta. Give a certain time to "
            "one job: using(expires=…).",
        ),
        ({"process": 1}, "process is 1, but must be True or False."),
        ({"on_crash": "ignore"}, "on_crash is 'ignore', but must be 'retry' or 'fail'."),
    ],
    ids=repr,
)
def test_an_option_that_makes_no_sense_is_refused_at_the_definition(
    options: Any, words: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        Backburner().task(name="nothing", **options)(nothing)
    assert str(refused.value).startswith(f"Task 'nothing' cannot be defined: {words}")


def test_a_stop_is_no_failure_to_try_again() -> None:
    with pytest.raises(DefinitionError, match="retry_on has JobCancelled, which is how a job is"):
        Backburner().task(retry_on=(JobCancelled,))(nothing)
