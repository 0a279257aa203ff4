"""The contract of every store: queues that are paused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_backburner.record import Reason, State
from flask_backburner.store.base import Presence, Store
from flask_backburner.store.claim import Turn
from support.stores import DONE, NOON, FakeClock, Home, add, claim, crash, settle


def test_jobs_of_a_paused_queue_stay(store: Store, worker: Presence) -> None:
    add(store, "a", queue="mail", priority=9)
    add(store, "b")
    store.pause("mail", True)
    assert [each.id for each in claim(store, worker)] == ["b"]
    assert claim(store, worker, queues=["mail"]) == []
    assert store.turn(worker, room=1, tasks=["task"]) == Turn()
    assert store.get("a").state is State.QUEUED


def test_a_queue_goes_on_when_it_is_resumed(store: Store, worker: Presence) -> None:
    add(store, "a", queue="mail")
    store.pause("mail", True)
    store.pause("mail", False)
    assert [each.id for each in claim(store, worker)] == ["a"]


def test_pausing_is_repeatable(store: Store, worker: Presence) -> None:
    add(store, "a", queue="mail")
    store.pause("mail", False)
    for _ in range(2):
        store.pause("mail", True)
    assert store.paused() == {"mail"}
    for _ in range(2):
        store.pause("mail", False)
    assert store.paused() == frozenset()
    assert [each.id for each in claim(store, worker)] == ["a"]


def test_every_store_object_knows_what_is_paused(
    store: Store, worker: Presence, another: Callable[[], Store]
) -> None:
    add(store, "a", queue="mail")
    another().pause("mail", True)
    another().pause("other", True)
    assert store.paused() == {"mail", "other"}
    assert claim(store, worker) == []


def test_what_runs_already_is_not_touched(store: Store, worker: Presence) -> None:
    add(store, "a", "b")
    (held,) = claim(store, worker, 1)
    store.pause("default", True)
    assert store.turn(worker).cancelling == ()
    assert settle(store, worker, held, DONE) == []


def test_jobs_are_added_to_a_paused_queue_and_cancelled_in_it(store: Store) -> None:
    store.pause("default", True)
    add(store, "a")
    assert store.request_cancel("a").state is State.CANCELLED


def test_suspicious_jobs_of_a_paused_queue_stay_too(home: Home, store: Store) -> None:
    add(store, "a")
    crash(home, store)
    crash(home, store)
    store.pause("default", True)
    assert claim(store, store.join(), alone=True) == []


@pytest.mark.usefixtures("worker")
def test_a_job_of_a_paused_queue_waits_for_that(store: Store) -> None:
    add(store, "a")
    store.pause("default", True)
    waiting = store.waiting("a")
    assert waiting is not None
    assert waiting.reason is Reason.PAUSED


def test_jobs_of_a_paused_queue_do_not_count_as_left_waiting(
    store: Store, clock: FakeClock
) -> None:
    add(store, "a", queue="mail")
    add(store, "b")
    add(store, "c", queue="mail", run_at=NOON + 1)
    store.pause("mail", True)
    clock.move(3)
    assert store.oldest_queued() == {"default": 3.0}
