"""The contract of every store: roles, closing and housekeeping."""

from __future__ import annotations

from collections.abc import Callable

from flask_backburner.record import State
from flask_backburner.store.base import Presence, Store
from support.stores import NOON, FakeClock, add, claim, finish


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
