"""The faults of ``chaos/`` in a short form, and whether their checker notices what it must.

Process jobs that are hard to kill have a file of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos import __main__ as all_of_them
from chaos import checker, stage, watch
from chaos.checker import Evidence
from chaos.defects import DEFECTS
from chaos.environment import DEFECT
from chaos.journal import Attempt, Entry
from chaos.ledger import Row
from support.programs import said

ROOT = Path(__file__).resolve().parents[1]
SLACK = 60.0  # a slow machine breaks no promise
ID = "1aB2cD3eF4gH5iJ6kL7mN8"


def played(scenario: str, rounds: int, defect: str = "") -> tuple[int, str]:
    """A scenario's exit code and what it printed."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", f"chaos.{scenario}"),
            *("--rounds", str(rounds), "--slack", str(SLACK)),
        ],
        cwd=ROOT,
        env=os.environ | {DEFECT: defect},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("scenario", "rounds"),
    [("kills", 1), ("embedded", 2), ("poison", 1), ("resume", 1), ("shutdown", 2), ("hang", 1)],
)
def test_a_fault_breaks_nothing(scenario: str, rounds: int) -> None:
    code, printed = played(scenario, rounds)
    assert (code, "BROKEN" in printed) == (0, False), printed


@pytest.mark.parametrize(
    ("scenario", "defect", "invariant"),
    [("kills", "delete_on_pop", "kept"), ("resume", "resume_forgets", "items")],
)
def test_a_defect_is_noticed_and_what_it_breaks_is_named(
    scenario: str, defect: str, invariant: str
) -> None:
    code, printed = played(scenario, 1, defect)
    assert (code, f"BROKEN {invariant}:" in printed) == (1, True), printed


def test_what_judges_the_product_imports_nothing_of_it() -> None:
    found = said(
        "import sys; sys.path.insert(0, sys.argv[1]); import chaos.__main__; "
        "print(sorted(name for name in sys.modules if 'flask' in name))",
        ROOT,
    )
    assert found == "[]"


def test_every_defect_is_some_scenarios_to_notice() -> None:
    named = {name for scenario in all_of_them.SCENARIOS for name in scenario.DEFECTS}
    assert named == set(DEFECTS)
    assert all(scenario.DEFECTS for scenario in all_of_them.SCENARIOS)


def test_every_scenario_is_on_the_page() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    names = [stage.name_of(scenario) for scenario in all_of_them.SCENARIOS]
    assert [name for name in names if f"`python -m chaos.{name}`" not in page] == []


# The invariants, each broken by hand


def row(**changes: object) -> Row:
    told: dict[str, object] = {
        "id": ID,
        "task": "app:nap",
        "state": "succeeded",
        "version": 3,
        "fence": 1,
        "crashes": 0,
        "failures": 0,
        "worker": "host-1",
        "current": None,
        "total": None,
        "code": None,
        "result": b"1",
    }
    return Row(**{**told, **changes})  # type: ignore[arg-type]  # each of its own type


def entry(event: str, fence: int = 0, process: str = "1", id: str = ID) -> Entry:
    return Entry(event, id, fence, process, 0.0, "")


def seen(*entries: Entry, **changes: object) -> Evidence:
    """A job, as the store has it after these entries."""
    ended = {(each.id, each.fence) for each in entries if each.event == "ended"}
    attempts = [
        Attempt(each.id, each.fence, each.process, each.at, (each.id, each.fence) in ended)
        for each in entries
        if each.event == "began"
    ]
    return Evidence(list(entries), attempts, {ID: row(**changes)}, {}, threads=1)


def broken(evidence: Evidence) -> set[str]:
    return {breach.invariant for breach in checker.judge(evidence)}


ONCE = (entry("acknowledged"), entry("began", 1), entry("ended", 1))
TWICE = (*ONCE, entry("began", 2), entry("ended", 2))
AFTER_A_KILL = (
    entry("began", 1),
    entry("killed", process="1"),
    entry("began", 2, "2"),
    entry("ended", 2, "2"),
)
OTHER = "9zY8xW7vU6tS5rQ4pO3nM2"


def test_a_job_that_ran_once_breaks_nothing() -> None:
    assert broken(seen(*ONCE)) == set()


def test_a_job_that_ran_again_after_a_kill_or_a_stop_breaks_nothing() -> None:
    assert broken(seen(*AFTER_A_KILL, crashes=1, fence=2, result=b"2")) == set()
    told = (entry("began", 1), entry("told", process="1"), *AFTER_A_KILL[2:])
    assert broken(seen(*told, fence=2, result=b"2")) == set()


@pytest.mark.parametrize(
    ("evidence", "invariant"),
    [
        (seen(*ONCE, entry("acknowledged", id=OTHER)), "kept"),
        (seen(*ONCE, entry("acknowledged")), "acknowledged_once"),
        (seen(*ONCE, state="running"), "finished"),
        (seen(*ONCE, state="failed", code="lost"), "ending"),
        (seen(*TWICE, fence=2, result=b"2"), "starts"),
        (seen(*ONCE, entry("killed", process="2"), crashes=1), "blame"),
        (seen(*ONCE, crashes=1), "no_crash"),
        (seen(*AFTER_A_KILL, crashes=1, fence=1), "fences"),
        (seen(*ONCE, fence=2), "result"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_invariant_is_named(evidence: Evidence, invariant: str) -> None:
    assert invariant in broken(evidence)


def test_a_job_that_crashed_twice_is_to_run_alone() -> None:
    deaths = (
        entry("began", 1, "1"),
        entry("dies", process="1"),
        entry("began", 2, "2"),
        entry("dies", process="2"),
    )
    beside = (entry("began", 1, "3", OTHER), entry("began", 3, "3"))
    assert "alone" in broken(seen(*deaths, *beside, crashes=2, fence=3))
    after = (beside[0], entry("ended", 1, "3", OTHER), beside[1])
    assert "alone" not in broken(seen(*deaths, *after, crashes=2, fence=3))


@pytest.mark.parametrize(
    ("before", "after", "invariant"),
    [
        (row(), None, "kept"),
        (row(), row(state="running", version=4), "recorded_once"),
        (row(state="running", version=4), row(state="running"), "fences"),
        (row(state="running", current=5.0), row(state="running", current=4.0), "progress"),
    ],
    ids=["kept", "recorded_once", "fences", "progress"],
)
def test_what_the_end_does_not_show_is_seen_on_the_way(
    before: Row, after: Row | None, invariant: str
) -> None:
    assert {breach.invariant for breach in watch.compared(before, after)} == {invariant}


def test_a_new_attempt_may_begin_with_no_progress() -> None:
    before = row(state="running", current=5.0, total=9.0)
    after = row(state="running", fence=2, version=5)
    assert list(watch.compared(before, after)) == []
