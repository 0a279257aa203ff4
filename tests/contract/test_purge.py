"""The contract of every store: forgetting."""

from __future__ import annotations

import pytest

from flask_backburner.errors import JobForgotten, JobNotFound
from flask_backburner.store.base import TOMBSTONES_KEPT, Presence, Store
from flask_backburner.store.claim import Report
from support.stores import BROKEN, KEEPING, NOON, FakeClock, add, claim, counted, finish, settle


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


def test_one_finished_job_can_be_forgotten_at_once(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    finish(store, worker, "a", owner="ann")
    finish(store, worker, "b")
    add(store, "c")
    assert [store.forget(id) for id in ("a", "a", "c", "no")] == [True, False, False, False]
    with pytest.raises(JobForgotten) as forgotten:
        store.get("a")
    assert forgotten.value.owner == "ann"
    assert [record.id for record in store.find()] == ["c", "b"]
    assert store.counters() == counted(store)


def test_an_alias_of_a_forgotten_job_is_free_again(store: Store, worker: Presence) -> None:
    finish(store, worker, "a", alias="mine")
    assert store.forget("a") is True
    with pytest.raises(JobNotFound):
        store.named("mine")


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


def test_what_a_forgotten_job_kept_is_forgotten_with_it(
    store: Store, worker: Presence, clock: FakeClock
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    store.turn(worker, reports=[Report(held, saved=(("one", b"1"),))])
    settle(store, worker, held, BROKEN)
    assert store.saved("a") == {"one": b"1"}
    clock.move(KEEPING.failed)
    store.purge(10)
    assert store.saved("a") == {}
