"""The contract of every store: what is told of jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_backburner.clock import moment
from flask_backburner.errors import JobNotFound
from flask_backburner.record import (
    Cancelled,
    JobFile,
    Line,
    Outcome,
    Reason,
    Released,
    ResultKind,
    State,
    Succeeded,
    Waiting,
)
from flask_backburner.store.base import (
    LINES_KEPT,
    PATIENCE_FOR_WORKER,
    Mark,
    Presence,
    Store,
)
from flask_backburner.store.claim import Report, Settlement
from support.stores import (
    AGAIN,
    BROKEN,
    DONE,
    NOON,
    FakeClock,
    add,
    claim,
    counted,
    job,
    lines,
    settle,
)


def test_an_unknown_job_is_not_found(store: Store) -> None:
    for ask in (store.get, store.lines, store.files, store.waiting, store.request_cancel):
        with pytest.raises(JobNotFound, match="There is no job 'nope'"):
            ask("nope")
    assert store.result("nope") is None


def test_stores_over_the_same_data_see_the_same(store: Store, another: Callable[[], Store]) -> None:
    add(store, "a")
    assert another().get("a") == store.get("a")


def test_marks_are_of_those_jobs_that_exist(store: Store, worker: Presence) -> None:
    add(store, "a", "b")
    claim(store, worker, 1)
    assert store.marks(["a", "b", "nope"]) == {
        "a": Mark(2, 0, State.RUNNING),
        "b": Mark(1, 0, State.QUEUED),
    }
    assert store.marks([]) == {}


def test_find_gives_the_newest_first(store: Store) -> None:
    add(store, "a", "b", "c")
    assert [record.id for record in store.find()] == ["c", "b", "a"]
    assert [record.id for record in store.find(limit=2)] == ["c", "b"]


def test_find_goes_on_before_the_last_of_a_page(store: Store) -> None:
    add(store, "a", "b", "c", "d")
    page = store.find(limit=3)
    assert [record.id for record in page] == ["d", "c", "b"]
    assert [record.id for record in store.find(limit=3, before="b")] == ["a"]
    assert store.find(before="a") == []
    with pytest.raises(JobNotFound):
        store.find(before="nope")


def test_find_filters_by_each_and_by_all(store: Store, worker: Presence) -> None:
    add(store, "a", queue="mail", owner="ann")
    add(store, "b", queue="mail", task="other", owner="bob")
    add(store, "c", owner="ann")
    claim(store, worker, 1, queues=["default"])
    assert [record.id for record in store.find(queue="mail")] == ["b", "a"]
    assert [record.id for record in store.find(task="task")] == ["c", "a"]
    assert [record.id for record in store.find(owner="ann")] == ["c", "a"]
    assert [record.id for record in store.find(state=State.RUNNING)] == ["c"]
    assert [record.id for record in store.find(owner="ann", queue="mail")] == ["a"]
    assert [record.id for record in store.find(queue="mail", before="b")] == ["a"]
    assert store.find(task="task", owner="bob") == []


@pytest.mark.parametrize("value", [b"1", b"null", b'"long"'])
def test_a_succeeded_job_has_its_result(store: Store, worker: Presence, value: bytes) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    assert store.result("a") is None
    settle(store, worker, held, Succeeded(value))
    assert store.result("a") == (ResultKind.VALUE, value)


def test_a_result_says_what_it_is(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, Succeeded(b'"a.csv"', ResultKind.FILE))
    assert store.result("a") == (ResultKind.FILE, b'"a.csv"')


@pytest.mark.parametrize("outcome", [BROKEN, Cancelled(), Released()])
def test_any_other_job_has_no_result(store: Store, worker: Presence, outcome: Outcome) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, outcome)
    assert store.result("a") is None


def test_files_are_listed_by_name_and_the_newest_of_a_name_counts(
    store: Store, worker: Presence
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    first = (JobFile("b.csv", "text/csv", 1), JobFile("a.csv", "text/csv", 2))
    store.turn(worker, reports=[Report(held, files=first)])
    store.turn(worker, reports=[Report(held, files=(JobFile("b.csv", "text/csv", 3),))])
    assert store.files("a") == [JobFile("a.csv", "text/csv", 2), JobFile("b.csv", "text/csv", 3)]
    assert store.get("a").files == 2


def test_log_lines_are_numbered_and_change_no_version(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    before = store.get("a").version
    store.turn(worker, reports=[Report(held, lines=lines("one", "two"))])
    assert [(line.id, line.text) for line in store.lines("a")] == [(1, "one"), (2, "two")]
    assert store.lines("a")[0] == Line(moment(NOON), "info", "one", 1)
    assert store.marks(["a"]) == {"a": Mark(before, 2, State.RUNNING)}


def test_lines_are_asked_for_after_a_number(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.turn(worker, reports=[Report(held, lines=lines("one", "two", "three"))])
    assert [line.text for line in store.lines("a", after=1)] == ["two", "three"]
    assert [line.text for line in store.lines("a", after=1, limit=1)] == ["two"]
    assert store.lines("a", after=3) == []


def test_the_newest_thousand_lines_are_kept(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.turn(worker, reports=[Report(held, lines=lines(*map(str, range(1, 801))))])
    store.turn(worker, reports=[Report(held, lines=lines(*map(str, range(801, 1203))))])
    kept = store.lines("a", limit=5000)
    assert len(kept) == LINES_KEPT == 1000
    assert (kept[0].id, kept[0].text, kept[-1].id, kept[-1].text) == (203, "203", 1202, "1202")
    assert store.get("a").last_line == 1202


def test_numbers_of_lines_go_on_over_attempts(store: Store, worker: Presence) -> None:
    add(store, "a")
    (first,) = claim(store, worker)
    store.turn(worker, reports=[Report(first, lines=lines("one"))])
    settle(store, worker, first, Released())
    (second,) = claim(store, worker)
    store.turn(worker, reports=[Report(second, lines=lines("two"))])
    assert [(line.id, line.text) for line in store.lines("a")] == [(1, "one"), (2, "two")]


def test_counters_are_what_counting_gives(store: Store, worker: Presence) -> None:
    add(store, "a", "b", "c", "d", "e")
    add(store, "f", queue="mail")
    held = claim(store, worker, 4, queues=["default"])
    outcomes = [DONE, BROKEN, Cancelled(), Released()]
    store.turn(worker, settled=[Settlement(*pair) for pair in zip(held, outcomes, strict=True)])
    store.request_cancel("e")
    assert store.counters() == {
        ("default", State.SUCCEEDED): 1,
        ("default", State.FAILED): 1,
        ("default", State.CANCELLED): 2,
        ("default", State.QUEUED): 1,
        ("mail", State.QUEUED): 1,
    }
    assert store.counters() == counted(store)


def test_a_job_that_waits_says_why(store: Store, clock: FakeClock) -> None:
    add(store, "a", "b")
    add(store, "c", run_at=NOON + 10)
    assert store.waiting("b") is not None
    scheduled, in_line = store.waiting("c"), store.waiting("b")
    assert scheduled is not None
    assert in_line is not None
    assert (scheduled.reason, scheduled.estimate) == (Reason.SCHEDULED, 10.0)
    assert (in_line.reason, in_line.position) == (Reason.IN_LINE, 2)
    clock.move(PATIENCE_FOR_WORKER)
    left_alone = store.waiting("b")
    assert left_alone is not None
    assert (left_alone.reason, left_alone.position) == (Reason.NO_WORKER, 2)
    served = store.join(queues=["default"])
    now_served = store.waiting("b")
    assert now_served is not None
    assert now_served.reason is Reason.IN_LINE
    served.leave()


def test_a_job_that_waits_for_its_next_attempt_says_so(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", retries=1)
    settle(store, worker, claim(store, worker)[0], AGAIN)
    clock.move(1)
    assert store.waiting("a") == Waiting(Reason.RETRY, None, 4.0)
    clock.move(4)
    waiting = store.waiting("a")
    assert waiting is not None
    assert (waiting.reason, waiting.position) == (Reason.IN_LINE, 1)


def test_only_a_queued_job_waits(store: Store, worker: Presence) -> None:
    add(store, "a")
    add(store, "b", external=True)
    claim(store, worker)
    assert store.waiting("a") is None
    assert store.waiting("b") is None


def test_positions_are_counted_to_a_hundred(store: Store) -> None:
    store.add([job(f"j{n}") for n in range(101)], limit=101)
    hundredth, beyond = store.waiting("j99"), store.waiting("j100")
    assert hundredth is not None
    assert beyond is not None
    assert (hundredth.position, beyond.position) == (100, None)


def test_the_oldest_job_of_each_queue_tells_how_long_it_waits(
    store: Store, clock: FakeClock
) -> None:
    add(store, "a", queue="one")
    add(store, "b", queue="later", run_at=NOON + 100)
    clock.move(3)
    add(store, "c", queue="one")
    add(store, "d", queue="two")
    add(store, "e", queue="one", priority=9)
    clock.move(1)
    assert store.oldest_queued() == {"one": 4.0, "two": 1.0}
    clock.move(99)
    assert store.oldest_queued() == {"one": 103.0, "two": 100.0, "later": 3.0}
