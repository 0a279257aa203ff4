"""Jobs as values."""

from __future__ import annotations

import pytest

from flask_backburner.record import FINAL, MOVES, Progress, State


def test_nothing_leaves_a_final_state() -> None:
    assert {State.SUCCEEDED, State.FAILED, State.CANCELLED} == FINAL
    assert [MOVES[state] for state in sorted(FINAL)] == [frozenset()] * 3


def test_a_queued_job_runs_or_ends_and_a_running_one_ends_or_waits_again() -> None:
    assert MOVES[State.QUEUED] == {State.RUNNING, State.CANCELLED, State.FAILED}
    assert MOVES[State.RUNNING] == FINAL | {State.QUEUED}


def test_every_state_says_whether_it_is_final() -> None:
    assert [state for state in State if state.done] == ["succeeded", "failed", "cancelled"]
    assert set(MOVES) == set(State)


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        (Progress(), None),
        (Progress(3), None),
        (Progress(None, 4), None),
        (Progress(3, 0), None),
        (Progress(3, -1), None),
        (Progress(0, 4), 0.0),
        (Progress(3, 4), 0.75),
        (Progress(5, 4), 1.0),
        (Progress(-1, 4), 0.0),
    ],
)
def test_a_fraction_is_known_or_none_and_never_out_of_bounds(
    progress: Progress, fraction: float | None
) -> None:
    assert progress.fraction == fraction
