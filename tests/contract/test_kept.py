"""The contract of every store: what jobs keep over their attempts."""

from __future__ import annotations

from flask_backburner.record import (
    Released,
    Retry,
)
from flask_backburner.store.base import Presence, Store
from flask_backburner.store.claim import (
    Claim,
    Report,
    Settlement,
    Turn,
)
from support.stores import (
    AGAIN,
    JITTER,
    Home,
    add,
    claim,
    settle,
)


def keep(store: Store, claim: Claim, **saved: bytes | None) -> Turn:
    return store.turn(None, reports=[Report(claim, saved=tuple(saved.items()))])


def test_what_an_attempt_keeps_the_next_one_knows(store: Store, worker: Presence) -> None:
    add(store, "a")
    (first,) = claim(store, worker)
    assert first.saved == ()
    keep(store, first, two=b"2", one=b"1")
    assert store.saved("a") == {"one": b"1", "two": b"2"}
    settle(store, worker, first, Released())
    (second,) = claim(store, worker)
    assert dict(second.saved) == {"one": b"1", "two": b"2"}


def test_the_newest_of_a_key_is_kept_and_nothing_of_one_that_is_forgotten(
    store: Store, worker: Presence
) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    keep(store, held, one=b"1", two=b"2")
    keep(store, held, one=b"11", two=None, never=None)
    assert store.saved("a") == {"one": b"11"}


def test_of_two_reports_in_a_turn_the_later_counts(store: Store, worker: Presence) -> None:
    add(store, "a")
    (held,) = claim(store, worker)
    both = [Report(held, saved=(("one", value),)) for value in (b"1", b"2")]
    store.turn(worker, reports=both)
    assert store.saved("a") == {"one": b"2"}


def test_what_is_kept_is_kept_with_the_end_of_the_attempt(store: Store, worker: Presence) -> None:
    add(store, "a", retries=1)
    (held,) = claim(store, worker)
    kept = Report(held, saved=(("one", b"1"),))
    store.turn(worker, reports=[kept], settled=[Settlement(held, Retry(AGAIN.fault))])
    (second,) = claim(store, worker)
    assert second.saved == (("one", b"1"),)


def test_what_was_kept_outlives_a_crash(home: Home, store: Store) -> None:
    add(store, "a")
    dying = store.join()
    (held,) = claim(store, dying)
    dying.started(held)
    keep(store, held, one=b"1")
    home.kill(dying)
    store.rescue()
    home.clock.move(JITTER)
    assert claim(store, store.join())[0].saved == (("one", b"1"),)


def test_a_job_that_is_not_there_has_kept_nothing(store: Store) -> None:
    add(store, "a")
    assert store.saved("a") == store.saved("nope") == {}
