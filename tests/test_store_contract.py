"""What ``store/base.py`` promises, of every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flask_backburner.clock import moment
from flask_backburner.errors import JobForgotten, JobNotFound, QueueFull
from flask_backburner.record import (
    Cancelled,
    Failed,
    Fault,
    JobFile,
    Line,
    Progress,
    Reason,
    Released,
    ResultKind,
    State,
    Succeeded,
)
from flask_backburner.store.base import (
    LINES_KEPT,
    PATIENCE_FOR_WORKER,
    TOMBSTONES_KEPT,
    Claim,
    Mark,
    Presence,
    Report,
    Settlement,
    Store,
    Turn,
    WorkerInfo,
)
from support.stores import (
    KEEPING,
    NOON,
    FakeClock,
    Home,
    MemoryHome,
    SQLiteHome,
    add,
    claim,
    counted,
    job,
    settle,
)

JITTER = 0.5
DONE = Succeeded(b"1")
BROKEN = Failed(Fault("error", "It broke.", public=True, traceback="line 1"))


@pytest.fixture(params=["memory", "sqlite"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    home = MemoryHome() if request.param == "memory" else SQLiteHome(tmp_path)
    yield home
    home.close()


@pytest.fixture
def store(home: Home) -> Store:
    return home.store()


@pytest.fixture
def another(home: Home) -> Callable[[], Store]:
    return home.store


@pytest.fixture
def clock(home: Home) -> FakeClock:
    return home.clock


@pytest.fixture
def worker(store: Store) -> Presence:
    return store.join()


def progress_of(store: Store, id: str) -> Progress:
    return store.get(id).progress


def lines(*texts: str) -> tuple[Line, ...]:
    return tuple(Line(moment(NOON), "info", text) for text in texts)


def driven(id: str) -> Claim:
    """Who drives an external job shows this."""
    return Claim(id, 0, "task", "default", 1, b"")


# add


def test_an_added_job_is_queued(store: Store) -> None:
    (record,) = store.add([job("a", queue="mail", priority=3, owner="ann")], limit=1)
    assert record == store.get("a")
    assert (record.id, record.task, record.queue, record.priority, record.owner) == (
        "a",
        "task",
        "mail",
        3,
        "ann",
    )
    assert (record.state, record.version, record.fence, record.attempt, record.crashes) == (
        State.QUEUED,
        1,
        0,
        0,
        0,
    )
    assert record.created_at == record.run_at == record.updated_at == moment(NOON)
    assert (record.started_at, record.finished_at, record.kept_until) == (None, None, None)
    assert (record.progress, record.fault, record.worker) == (Progress(), None, None)
    assert not record.cancel_requested


def test_jobs_are_added_all_or_none(store: Store) -> None:
    add(store, "a", "b")
    with pytest.raises(QueueFull) as full:
        store.add([job("c"), job("d")], limit=3)
    assert (full.value.queued, full.value.limit) == (2, 3)
    assert [record.id for record in store.find()] == ["b", "a"]
    assert store.counters() == {("default", State.QUEUED): 2}


def test_only_queued_jobs_count_towards_the_limit(store: Store, worker: Presence) -> None:
    add(store, "a", "b")
    claim(store, worker, 1)
    store.add([job("c")], limit=2)
    with pytest.raises(QueueFull, match="2 jobs are queued and BACKBURNER_MAX_QUEUED allows 2"):
        store.add([job("d")], limit=2)


def test_adding_nothing_adds_nothing(store: Store) -> None:
    assert store.add([], limit=0) == []
    assert store.find() == []


def test_a_job_with_a_time_waits_for_it(store: Store, worker: Presence, clock: FakeClock) -> None:
    (record,) = store.add([job("a", run_at=NOON + 10)], limit=1)
    assert record.run_at == moment(NOON + 10)
    clock.move(9.9)
    assert claim(store, worker) == []
    clock.move(0.1)
    assert [each.id for each in claim(store, worker)] == ["a"]


def test_a_job_whose_time_is_past_may_run_at_once(store: Store, worker: Presence) -> None:
    add(store, "a", run_at=NOON - 10)
    assert [each.id for each in claim(store, worker)] == ["a"]


# get, marks, find


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


# result, files, lines, counters


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
def test_any_other_job_has_no_result(store: Store, worker: Presence, outcome: object) -> None:
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


# turn: claiming


def test_a_claimed_job_runs_under_its_worker(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    clock.move(1)
    assert claim(store, worker) == [Claim("a", 1, "task", "default", 1, b"[]")]
    record = store.get("a")
    assert (record.state, record.version, record.fence, record.attempt) == (State.RUNNING, 2, 1, 1)
    assert record.worker == worker.worker
    assert record.started_at == record.updated_at == moment(NOON + 1)


def test_the_higher_priority_runs_first_and_of_equals_the_older(
    store: Store, worker: Presence
) -> None:
    add(store, "a", "b", queue="one")
    add(store, "c", queue="two", priority=5)
    add(store, "d", queue="one", priority=-5)
    add(store, "e", queue="two")
    add(store, "f", queue="one", priority=5)
    assert [each.id for each in claim(store, worker)] == ["c", "f", "a", "b", "e", "d"]


def test_order_holds_over_turns_with_little_room(store: Store, worker: Presence) -> None:
    add(store, "a", "b", "c")
    add(store, "d", priority=1)
    order = [claim(store, worker, 1)[0].id for _ in range(4)]
    assert order == ["d", "a", "b", "c"]


def test_a_job_that_waited_for_its_time_stands_where_it_was_added(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", run_at=NOON + 5)
    add(store, "b")
    clock.move(5)
    assert [each.id for each in claim(store, worker)] == ["a", "b"]


def test_no_more_than_the_room_is_claimed(store: Store, worker: Presence) -> None:
    add(store, "a", "b", "c")
    assert claim(store, worker, 0) == []
    assert claim(store, worker, -1) == []
    assert len(claim(store, worker, 2)) == 2
    assert len(claim(store, worker, 2)) == 1


def test_only_the_wanted_queues_are_served(store: Store, worker: Presence) -> None:
    add(store, "a", queue="one")
    add(store, "b", queue="two")
    assert claim(store, worker, queues=[]) == []
    assert claim(store, worker, queues=["three"]) == []
    assert [each.id for each in claim(store, worker, queues=["two", "three"])] == ["b"]
    assert [each.id for each in claim(store, worker, queues=None)] == ["a"]


def test_work_in_a_great_many_queues_is_found(store: Store, worker: Presence) -> None:
    store.add([job(f"j{n}", queue=f"q{n}", priority=n) for n in range(1200)], limit=1200)
    assert [each.id for each in claim(store, worker, 3)] == ["j1199", "j1198", "j1197"]


def test_an_unknown_task_is_never_claimed(store: Store, worker: Presence) -> None:
    add(store, "a", task="tomorrow", priority=9)
    add(store, "b")
    assert [each.id for each in claim(store, worker)] == ["b"]
    assert claim(store, worker, tasks=()) == []
    assert store.get("a").state is State.QUEUED


def test_a_star_stands_for_all_tasks_that_begin_so(store: Store, worker: Presence) -> None:
    add(store, "a", task="app.jobs:one")
    add(store, "b", task="app_x")
    add(store, "c", task="task")
    assert [each.id for each in claim(store, worker, tasks=["app.*"])] == ["a"]
    assert [each.id for each in claim(store, worker, tasks=["app*", "task"])] == ["b", "c"]


def test_a_job_is_claimed_by_one_worker_only(
    store: Store, worker: Presence, another: Callable[[], Store]
) -> None:
    add(store, "a")
    other = another()
    assert len(claim(store, worker)) == 1
    assert claim(other, other.join()) == []


def test_the_fence_rises_with_every_claim(store: Store, worker: Presence) -> None:
    add(store, "a")
    fences = []
    for started in (True, False, True):
        (held,) = claim(store, worker)
        fences.append(held.fence)
        settle(store, worker, held, Released(started))
    assert fences == [1, 2, 3]


def test_a_claim_begins_with_no_progress(store: Store, worker: Presence) -> None:
    add(store, "a")
    (first,) = claim(store, worker)
    store.turn(worker, reports=[Report(first, Progress(1, 2, "half", "phase"))])
    settle(store, worker, first, Released())
    assert progress_of(store, "a") == Progress(1, 2, "half", "phase")
    claim(store, worker)
    assert progress_of(store, "a") == Progress()
    assert store.get("a").progressed_at is None


# turn: reports and settlements


def test_a_report_raises_the_version(store: Store, worker: Presence, clock: FakeClock) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    clock.move(1)
    store.turn(worker, reports=[Report(held, Progress(1, 4, "Reading", None))])
    record = store.get("a")
    assert record.progress == Progress(1, 4, "Reading")
    assert (record.version, record.progressed_at) == (3, moment(NOON + 1))


def test_whole_numbers_and_fractions_of_progress_stay_what_they_are(
    store: Store, worker: Presence
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.turn(worker, reports=[Report(held, Progress(3, 4.5))])
    assert repr(progress_of(store, "a").current) == "3"
    assert repr(progress_of(store, "a").total) == "4.5"


@pytest.mark.parametrize(
    ("outcome", "state", "kept"),
    [
        (DONE, State.SUCCEEDED, KEEPING.done),
        (BROKEN, State.FAILED, KEEPING.failed),
        (Cancelled(), State.CANCELLED, KEEPING.done),
    ],
)
def test_a_settled_job_is_over(
    store: Store, worker: Presence, clock: FakeClock, outcome: object, state: State, kept: float
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    clock.move(2)
    assert settle(store, worker, held, outcome) == []
    record = store.get("a")
    assert (record.state, record.version, record.worker) == (state, 3, worker.worker)
    assert record.finished_at == record.updated_at == moment(NOON + 2)
    assert record.kept_until == moment(NOON + 2 + kept)


def test_a_failed_job_says_why(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, BROKEN)
    assert store.get("a").fault == Fault("error", "It broke.", True, "line 1")


def test_reports_come_before_settlements(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    turn = store.turn(
        worker, settled=[Settlement(held, DONE)], reports=[Report(held, Progress(9, 9))]
    )
    assert turn.refused == ()
    assert progress_of(store, "a") == Progress(9, 9)
    assert store.get("a").state is State.SUCCEEDED


def test_a_turn_settles_and_claims_together(store: Store, worker: Presence) -> None:
    add(store, "a", "b")
    (held,) = claim(store, worker, 1)
    turn = store.turn(worker, settled=[Settlement(held, Released())], room=2, tasks=["task"])
    assert [(each.id, each.fence) for each in turn.claimed] == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("outcome", [DONE, BROKEN, Cancelled(), Released(), Released(False)])
def test_a_repeat_is_refused_and_changes_nothing(
    store: Store, worker: Presence, outcome: object
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, outcome)
    before = store.get("a")
    assert settle(store, worker, held, outcome) == [held]
    turn = store.turn(worker, reports=[Report(held, Progress(5, 5), lines("late"))])
    assert turn.refused == (held,)
    assert (store.get("a"), store.lines("a")) == (before, [])
    assert store.counters() == counted(store)


@pytest.mark.parametrize("outcome", [DONE, BROKEN, Cancelled(), Released()])
def test_a_repeat_within_a_turn_is_refused(store: Store, worker: Presence, outcome: object) -> None:
    add(store, "a", "b")
    first, second = claim(store, worker)
    entries = [Settlement(first, outcome), Settlement(first, outcome), Settlement(second, DONE)]
    assert store.turn(worker, settled=entries).refused == (first,)
    assert store.get("b").state is State.SUCCEEDED
    assert store.counters() == counted(store)


@pytest.mark.parametrize("outcome", [DONE, BROKEN, Cancelled(), Released(), Released(False)])
def test_a_stale_fence_is_refused_and_changes_nothing(
    store: Store, worker: Presence, another: Callable[[], Store], outcome: object
) -> None:
    add(store, "a", "b")
    stale, good = claim(store, worker)
    settle(store, worker, stale, Released())
    other = another()
    (current,) = claim(other, other.join())
    before = store.get("a")
    turn = store.turn(
        worker,
        settled=[Settlement(stale, outcome), Settlement(good, DONE)],
        reports=[Report(stale, Progress(1, 1), lines("stale"))],
    )
    assert turn.refused == (stale, stale)
    assert (store.get("a"), store.lines("a"), store.result("a")) == (before, [], None)
    assert store.get("b").state is State.SUCCEEDED
    assert settle(other, worker, current, DONE) == []
    assert store.result("a") == (ResultKind.VALUE, b"1")


def test_what_is_no_job_is_refused(store: Store, worker: Presence) -> None:
    nothing = Claim("nope", 1, "task", "default", 1, b"")
    assert settle(store, worker, nothing, DONE) == [nothing]
    assert store.counters() == {}


def test_a_job_handed_back_is_queued_at_once(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", run_at=NOON - 5)
    (held,) = claim(store, worker)
    clock.move(3)
    settle(store, worker, held, Released())
    record = store.get("a")
    assert (record.state, record.attempt, record.crashes) == (State.QUEUED, 1, 0)
    assert (record.run_at, record.worker, record.started_at) == (moment(NOON + 3), None, None)
    assert claim(store, worker)[0].attempt == 2


def test_a_job_handed_back_unstarted_keeps_its_attempt(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, Released(started=False))
    assert (store.get("a").state, store.get("a").attempt) == (State.QUEUED, 0)
    assert claim(store, worker) == [Claim("a", 2, "task", "default", 1, b"[]")]


@pytest.mark.parametrize("outcome", [Released(), Released(started=False), Cancelled()])
def test_a_job_handed_back_after_a_cancel_is_cancelled(
    store: Store, worker: Presence, outcome: object
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.request_cancel("a")
    settle(store, worker, held, outcome)
    assert store.get("a").state is State.CANCELLED
    assert store.get("a").finished_at == moment(NOON)


def test_a_job_that_ends_in_spite_of_a_cancel_has_succeeded(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.request_cancel("a")
    settle(store, worker, held, DONE)
    assert (store.get("a").state, store.get("a").cancel_requested) == (State.SUCCEEDED, True)


def test_an_idle_turn_is_empty(store: Store, worker: Presence) -> None:
    assert store.turn(worker, room=4, tasks=["task"]) == Turn()


# request_cancel


def test_a_queued_job_is_cancelled_at_once(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    clock.move(1)
    record = store.request_cancel("a")
    assert record == store.get("a")
    assert (record.state, record.version, record.cancel_requested) == (State.CANCELLED, 2, True)
    assert record.finished_at == moment(NOON + 1)
    assert claim(store, worker) == []


def test_a_running_job_is_asked_to_stop(
    store: Store, worker: Presence, another: Callable[[], Store]
) -> None:
    add(store, "a", "b")
    claim(store, worker)
    record = another().request_cancel("a")
    assert (record.state, record.version, record.cancel_requested) == (State.RUNNING, 3, True)
    assert store.turn(worker).cancelling == ("a",)
    assert store.turn(store.join()).cancelling == ()


def test_asking_again_changes_nothing(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    assert store.request_cancel("a") == store.request_cancel("a")
    settle(store, worker, held, Cancelled())
    before = store.get("a")
    assert store.request_cancel("a") == before
    assert store.turn(worker).cancelling == ()


@pytest.mark.parametrize("outcome", [DONE, BROKEN])
def test_a_job_that_is_over_stays_as_it_is(store: Store, worker: Presence, outcome: object) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    settle(store, worker, held, outcome)
    before = store.get("a")
    assert store.request_cancel("a") == before
    assert store.counters() == counted(store)


# life and rescue


def test_a_living_worker_is_never_rescued(
    store: Store, worker: Presence, another: Callable[[], Store], clock: FakeClock
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    worker.started(held)
    clock.move(1e9)
    assert another().rescue() == store.rescue() == []
    assert settle(store, worker, held, DONE) == []


def test_a_job_that_had_started_is_a_crash(
    home: Home, store: Store, another: Callable[[], Store]
) -> None:
    dying = store.join()
    add(store, "a")
    (held,) = claim(store, dying)
    assert dying.started(held)
    home.kill(dying)
    assert len(another().rescue()) == 1
    record = store.get("a")
    assert (record.state, record.attempt, record.crashes) == (State.QUEUED, 1, 1)
    assert (record.worker, record.started_at) == (None, None)
    assert moment(NOON) <= record.run_at <= moment(NOON + JITTER)
    assert settle(store, store.join(), held, DONE) == [held]


def test_a_rescued_job_runs_again_within_half_a_second(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a")
    dying.started(claim(store, dying)[0])
    home.kill(dying)
    store.rescue()
    home.clock.move(JITTER)
    assert claim(store, store.join()) == [Claim("a", 2, "task", "default", 2, b"[]")]


def test_a_job_that_had_not_started_is_not_blamed(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a", "b")
    first, _second = claim(store, dying)
    dying.started(first)
    home.kill(dying)
    assert len(store.rescue()) == 2
    record = store.get("b")
    assert (record.state, record.attempt, record.crashes) == (State.QUEUED, 0, 0)
    assert record.run_at == moment(NOON)
    assert store.get("a").crashes == 1


def test_a_worker_that_leaves_with_jobs_is_rescued_as_one_that_died(
    store: Store, worker: Presence
) -> None:
    add(store, "a", "b")
    first, _second = claim(store, worker)
    worker.started(first)
    worker.leave()
    worker.leave()
    assert len(store.rescue()) == 2
    assert [store.get(id).crashes for id in "ab"] == [1, 0]


def test_a_job_with_a_cancel_asked_is_cancelled_by_its_rescue(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a")
    dying.started(claim(store, dying)[0])
    store.request_cancel("a")
    home.kill(dying)
    assert len(store.rescue()) == 1
    assert (store.get("a").state, store.get("a").crashes) == (State.CANCELLED, 0)
    assert store.get("a").finished_at == moment(NOON)


def test_after_three_rescues_a_job_is_lost(home: Home, store: Store) -> None:
    add(store, "a")
    for crash in (1, 2, 3, 4):
        dying = store.join()
        dying.started(claim(store, dying)[0])
        home.kill(dying)
        assert len(store.rescue()) == 1
        assert store.get("a").crashes == crash
        home.clock.move(JITTER)
    record = store.get("a")
    assert (record.state, record.attempt) == (State.FAILED, 4)
    assert record.fault is not None
    assert record.fault.code == "lost"
    assert claim(store, store.join()) == []
    assert store.counters() == counted(store) == {("default", State.FAILED): 1}


def test_a_rescue_happens_once(home: Home, store: Store, another: Callable[[], Store]) -> None:
    dying = store.join()
    add(store, "a")
    dying.started(claim(store, dying)[0])
    home.kill(dying)
    assert [store.rescue(), another().rescue(), store.rescue()] == [["a"], [], []]


def test_what_a_dead_worker_had_settled_stays_settled(home: Home, store: Store) -> None:
    dying = store.join()
    add(store, "a")
    (held,) = claim(store, dying)
    dying.started(held)
    settle(store, dying, held, DONE)
    home.kill(dying)
    assert len(store.rescue()) == 0
    assert store.get("a").state is State.SUCCEEDED


def test_a_claim_held_no_more_is_not_started(
    store: Store, worker: Presence, another: Callable[[], Store]
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    assert worker.started(held)
    settle(store, worker, held, Released())
    assert not worker.started(held)


def test_workers_tell_what_they_are_there_for(home: Home, store: Store) -> None:
    one, two = store.join(4, ["b", "a"]), store.join()
    dying = store.join()
    home.kill(dying)
    expected = [WorkerInfo(one.worker, 4, ["a", "b"]), WorkerInfo(two.worker, 1, None)]
    assert sorted(store.workers(), key=lambda info: -info.threads) == expected
    one.leave()
    assert [info.worker for info in store.workers()] == [two.worker]


# why a job waits


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


# external jobs


def test_an_external_job_is_never_claimed_or_rescued(store: Store, worker: Presence) -> None:
    add(store, "a", external=True)
    assert claim(store, worker) == []
    store.turn(worker, reports=[Report(driven("a"), Progress(1, 2))])
    assert len(store.rescue()) == 0
    record = store.get("a")
    assert (record.state, record.fence, record.attempt, record.worker) == (
        State.RUNNING,
        0,
        1,
        None,
    )
    assert record.external
    assert record.started_at == moment(NOON)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(DONE, State.SUCCEEDED), (BROKEN, State.FAILED), (Cancelled(), State.CANCELLED)],
)
def test_an_external_job_ends_once(
    store: Store, worker: Presence, outcome: object, state: State
) -> None:
    add(store, "a", external=True)
    assert settle(store, worker, driven("a"), outcome) == []
    record = store.get("a")
    assert (record.state, record.version, record.attempt) == (state, 3, 1)
    assert settle(store, worker, driven("a"), outcome) == [driven("a")]
    assert store.get("a") == record
    assert store.counters() == counted(store)


def test_an_external_job_handed_back_is_claimed_by_nobody(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", external=True)
    settle(store, worker, driven("a"), Released())
    clock.move(1)
    assert store.get("a").state is State.QUEUED
    assert claim(store, worker) == []


def test_an_external_job_that_falls_silent_is_lost(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a", external=True, deadline=10.0)
    clock.move(9)
    store.turn(worker, reports=[Report(driven("a"), lines=lines("still here"))])
    clock.move(9)
    assert len(store.rescue()) == 0
    clock.move(1)
    assert len(store.rescue()) == 1
    record = store.get("a")
    assert record.state is State.FAILED
    assert record.fault is not None
    assert record.fault.code == "lost"
    assert store.counters() == counted(store)


# forgetting


def finish(store: Store, worker: Presence, id: str, outcome: object = DONE, **options: str) -> None:
    add(store, id, **options)
    settle(store, worker, claim(store, worker)[0], outcome)


def test_a_job_past_its_time_is_forgotten_purged_or_not(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    finish(store, worker, "a", owner="ann")
    clock.move(KEEPING.done)
    for purged in ([], ["a"]):
        with pytest.raises(JobForgotten, match="was forgotten when its time was up") as forgotten:
            store.get("a")
        assert forgotten.value.owner == "ann"
        assert store.purge(10) == ([] if purged else ["a"])
    assert store.counters() == {}
    assert store.result("a") is None
    assert store.find() == []


def test_a_failed_job_is_kept_longer(store: Store, worker: Presence, clock: FakeClock) -> None:
    finish(store, worker, "a", BROKEN)
    clock.move(KEEPING.done)
    assert store.purge(10) == []
    clock.move(KEEPING.failed - KEEPING.done)
    assert store.purge(10) == ["a"]


def test_no_more_than_the_limit_is_purged(store: Store, worker: Presence, clock: FakeClock) -> None:
    for id in "abc":
        finish(store, worker, id)
    clock.move(KEEPING.done)
    assert [len(store.purge(2)), len(store.purge(2)), len(store.purge(2))] == [2, 1, 0]


def test_jobs_that_finished_earlier_are_purged_when_asked(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    finish(store, worker, "a")
    clock.move(10)
    finish(store, worker, "b")
    add(store, "c")
    assert store.purge(10, before=NOON + 10) == ["a"]
    assert [record.id for record in store.find()] == ["c", "b"]
    assert store.counters() == counted(store)


def test_what_is_not_over_is_never_purged(store: Store, worker: Presence, clock: FakeClock) -> None:
    add(store, "a", "b")
    claim(store, worker, 1)
    clock.move(1e8)
    assert store.purge(10) == []
    assert store.purge(10, before=clock.now() + 1) == []


def test_a_tombstone_goes_in_the_end(store: Store, worker: Presence, clock: FakeClock) -> None:
    finish(store, worker, "a")
    clock.move(KEEPING.done)
    store.purge(10)
    clock.move(TOMBSTONES_KEPT + 1)
    finish(store, worker, "b")
    clock.move(KEEPING.done)
    store.purge(10)
    with pytest.raises(JobNotFound) as unknown:
        store.get("a")
    assert type(unknown.value) is JobNotFound


# roles, close


def test_one_store_object_holds_a_role(store: Store, another: Callable[[], Store]) -> None:
    other = another()
    assert [store.elect("upkeep"), store.elect("upkeep")] == [True, True]
    assert not other.elect("upkeep")
    assert other.elect("something else")
    store.resign("upkeep")
    store.resign("upkeep")
    assert other.elect("upkeep")
    assert not store.elect("upkeep")


def test_resigning_from_what_another_holds_changes_nothing(
    store: Store, another: Callable[[], Store]
) -> None:
    store.elect("upkeep")
    other = another()
    other.resign("upkeep")
    assert not other.elect("upkeep")


def test_a_closed_store_gives_back_roles_and_workers(
    store: Store, another: Callable[[], Store]
) -> None:
    store.elect("upkeep")
    add(store, "a")
    claim(store, store.join())
    store.close()
    store.close()
    other = another()
    assert other.elect("upkeep")
    assert len(other.rescue()) == 1


def test_a_closed_store_opens_again(store: Store) -> None:
    add(store, "a")
    store.close()
    assert store.get("a").state is State.QUEUED
    add(store, "b")
    assert len(claim(store, store.join())) == 2


def test_housekeeping_harms_nothing(store: Store, worker: Presence) -> None:
    store.check_writable()
    store.tend()
    finish(store, worker, "a")
    store.purge(1, before=NOON + 1)
    store.tend()
    add(store, "b")
    assert [record.id for record in store.find()] == ["b"]


def test_the_store_tells_the_time(store: Store, clock: FakeClock) -> None:
    clock.move(1.5)
    assert store.now() == NOON + 1.5
