"""What is the Redis store's own: a server that others share, that is away, full, or forgets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from flask_backburner.clock import Clock
from flask_backburner.errors import (
    JobForgotten,
    JobNotFound,
    QueueFull,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
)
from flask_backburner.record import Progress, Released, State, Succeeded
from flask_backburner.store.base import Keeping, WorkerInfo
from flask_backburner.store.claim import Report, Settlement
from flask_backburner.store.redis import RedisStore
from flask_backburner.store.redis.presence import BEAT_SECONDS
from flask_backburner.store.redis.scripts import LUA, VERBS, script
from flask_backburner.store.redis.server import check_version, eviction_risk
from support.programs import running, said
from support.redis_server import RedisServer, client, running_redis, shared_url
from support.stores import (
    BROKEN,
    DONE,
    KEEPING,
    FakeClock,
    RedisHome,
    add,
    claim,
    counted,
    finish,
    job,
    lines,
    settle,
)
from support.tcp_proxy import proxy_of
from support.waiting import until

pytestmark = pytest.mark.usefixtures("redis_server")
LONG = 600.0


@pytest.fixture
def home() -> Iterator[RedisHome]:
    home = RedisHome()
    yield home
    home.close()


@pytest.fixture
def store(home: RedisHome) -> RedisStore:
    return home.store()


@pytest.fixture
def redis() -> Iterator[Redis]:
    with client(shared_url()) as opened:
        yield opened


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may stop, fill and set up as it likes."""
    with running_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture
def there(own: RedisServer) -> Iterator[RedisStore]:
    """A store on that Redis."""
    store = RedisStore(own.url, "app", silence=LONG, lease=LONG)
    yield store
    store.close()


# one Redis for many


def test_namespaces_on_one_redis_never_see_each_other() -> None:
    ours, theirs = RedisHome("ours"), RedisHome("theirs")
    store, other = ours.store(), theirs.store()
    add(store, "a", alias="mine", owner="ann")
    dying = store.join()
    dying.started(claim(store, dying)[0])
    ours.kill(dying)
    store.pause("mail", True)
    assert other.find() == other.find(owner="ann") == []
    assert (other.counters(), other.marks(["a"]), other.result("a")) == ({}, {}, None)
    assert (other.workers(), other.paused()) == ([], frozenset())
    for ask in (other.get, other.lines, other.files, other.request_cancel, other.waiting):
        with pytest.raises(JobNotFound, match="There is no job 'a'"):
            ask("a")
    with pytest.raises(JobNotFound):
        other.named("mine")
    assert other.rescue() == []
    assert claim(other, other.join()) == []
    assert (store.elect("upkeep"), other.elect("upkeep")) == (True, True)
    assert store.rescue() == ["a"]
    with pytest.raises(QueueFull):
        store.add([job("b")], limit=1)
    assert len(other.add([job("b")], limit=1)) == 1
    ours.close()
    theirs.close()


@pytest.mark.parametrize("name", ["", "a}b", "{", "ä b:*?", "x" * 300])
def test_any_name_is_a_namespace(name: str) -> None:
    store = RedisStore(shared_url(), name, silence=LONG)
    with suppress(JobNotFound):
        store.request_cancel("a")
        store.purge(1)
    worker = store.join()
    finish(store, worker, "a", queue="q:ä", task="task")
    assert store.get("a").state is State.SUCCEEDED
    assert store.counters() == {("q:ä", State.SUCCEEDED): 1}
    assert store.purge(10, before=store.now() + 1) == ["a"]
    store.close()


def test_every_script_is_one_that_redis_understands(redis: Redis) -> None:
    for verb in VERBS:
        assert redis.script_load(script(verb).text) == script(verb).sha
    parts = {part for verb in VERBS for part in ("space", verb, *VERBS[verb])}
    assert parts == {path.stem for path in LUA.glob("*.lua")}


def test_time_is_that_of_redis(redis: Redis) -> None:
    store = RedisStore(shared_url(), "time")
    earlier = redis.time()
    now = store.now()
    (record,) = store.add([job("t")], limit=1)
    later = redis.time()
    assert float(f"{earlier[0]}.{earlier[1]:06}") <= now <= float(f"{later[0]}.{later[1]:06}")
    assert now <= record.created_at.timestamp() <= float(f"{later[0]}.{later[1]:06}")
    store.purge(1, before=now)
    store.close()


MANY = """
import sys
from flask_backburner.store.redis import RedisStore
from support.stores import claim, settle, DONE

store = RedisStore(sys.argv[1], "many", silence=600.0)
worker = store.join()
print("ready", flush=True)
sys.stdin.readline()
while claims := claim(store, worker, 7):
    for held in claims:
        assert worker.started(held)
        assert settle(store, worker, held, DONE) == []
        print(held.id, flush=True)
print("done", flush=True)
store.close()
"""


def test_each_job_is_run_by_one_of_many_processes(own: RedisServer) -> None:
    store = RedisStore(own.url, "many", silence=LONG)
    ids = [f"j{n}" for n in range(300)]
    add(store, *ids)
    with running(MANY, own.url) as one, running(MANY, own.url) as two, running(MANY, own.url) as x:
        processes = [one, two, x]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        run = [process.stdout.read().split() for process in processes if process.stdout]
    assert [each[-1] for each in run] == ["done"] * 3
    assert sorted(id for each in run for id in each[:-1]) == sorted(ids)
    assert store.counters() == {("default", State.SUCCEEDED): 300}
    store.close()


FORKED = """
import os, sys
from flask_backburner.store.redis import RedisStore
from support.stores import add, claim, DONE, settle

store = RedisStore(sys.argv[1], "forked", silence=600.0, lease=600.0)
worker = store.join()
assert store.elect("upkeep")
add(store, "parent", "held")
(held, _) = claim(store, worker)
pid = os.fork()
if pid == 0:
    assert not store.elect("upkeep")
    add(store, "child")
    worker.leave()
    store.resign("upkeep")
    store.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
other = RedisStore(sys.argv[1], "forked", silence=600.0)
assert not other.elect("upkeep")
assert store.rescue() == []
assert [info.worker for info in store.workers()] == [worker.worker]
assert settle(store, worker, held, DONE) == []
assert store.get("child").state == "queued"
store.close()
other.close()
print("fine")
"""


def test_a_forked_child_has_its_own_connections_and_gives_up_nothing(own: RedisServer) -> None:
    assert said(FORKED, own.url) == "fine"


# life and death

WORKER = """
import sys
from flask_backburner.store.redis import RedisStore
from support.stores import add, claim

store = RedisStore(sys.argv[1], "deaths")
worker = store.join()
add(store, "started", "claimed")
first, _ = claim(store, worker)
assert worker.started(first)
print(worker.worker, flush=True)
sys.stdin.readline()
"""


def test_the_jobs_of_a_killed_process_run_again(own: RedisServer) -> None:
    store = RedisStore(own.url, "deaths")
    with running(WORKER, own.url) as process:
        alive = store.join()
        process.kill()
        rescued: list[str] = []

        def both() -> bool:
            alive.beat()
            rescued.extend(store.rescue())
            return len(rescued) == 2

        until(both, deadline=60.0)
    assert sorted(rescued) == ["claimed", "started"]
    assert [store.get(id).crashes for id in ("started", "claimed")] == [1, 0]
    assert [store.get(id).attempt for id in ("started", "claimed")] == [1, 0]
    store.close()


def test_whose_death_was_seen_is_rescued_at_once(own: RedisServer) -> None:
    store = RedisStore(own.url, "deaths")
    with running(WORKER, own.url) as process:
        (dying,) = store.workers()
        process.kill()
        store.bury(dying.worker)
        assert store.workers() == []
        assert sorted(store.rescue()) == ["claimed", "started"]
    assert [store.get(id).crashes for id in ("started", "claimed")] == [1, 0]
    store.close()


def test_whose_life_is_vouched_for_is_not_taken_for_dead(
    home: RedisHome, store: RedisStore
) -> None:
    silent, buried = store.join(), store.join()
    add(store, "a", "b")
    claim(store, silent, 1)
    claim(store, buried, 1)
    home.kill(silent)
    store.bury(buried.worker)
    for worker in (silent.worker, buried.worker, "nobody"):
        store.vouch(worker)
    assert [info.worker for info in store.workers()] == [silent.worker]
    assert store.rescue() == ["b"]
    assert store.get("a").state is State.RUNNING


def test_silence_that_nobody_watched_is_no_death(own: RedisServer, there: RedisStore) -> None:
    """As when Redis itself was away: nobody could show a beat."""
    store = RedisStore(own.url, "app")
    worker = store.join()
    add(store, "a")
    worker.started(claim(store, worker)[0])
    with client(own.url) as redis:
        hour_ago = redis.time()[0] - 3600
        redis.zadd("{bb:app}:workers", {worker.worker: hour_ago})
        redis.hset("{bb:app}:watch", mapping={"at": hour_ago, "since": hour_ago - 3600})
    assert store.rescue() == []
    assert until(store.rescue, deadline=60.0) == ["a"]  # nobody showed a beat even then
    store.close()


def test_a_beat_is_written_every_two_seconds_at_most(home: RedisHome, redis: Redis) -> None:
    store = home.store()
    worker = store.join()
    key = f"{store._space.name}:workers"

    def beat_at() -> Any:
        return redis.zscore(key, worker.worker)

    first = beat_at()
    home.clock.move(BEAT_SECONDS / 2)
    worker.beat()
    assert beat_at() == first
    home.clock.move(BEAT_SECONDS / 2)
    worker.beat()
    assert beat_at() > first


def test_a_worker_that_beats_hangs_by_no_limit_however_short(
    home: RedisHome, store: RedisStore
) -> None:
    worker = store.join()
    add(store, "a")
    claim(store, worker)
    for _ in range(12):
        home.clock.move(BEAT_SECONDS / 2)
        worker.beat()
        assert store.rescue(0.1) == []
    rescued = []
    for _ in range(5):
        home.clock.move(1.0)
        rescued += store.rescue(0.1)
    assert rescued == ["a"]


def test_a_worker_that_was_taken_for_dead_lives_again(home: RedisHome, store: RedisStore) -> None:
    worker = store.join(2, ["default"])
    add(store, "a")
    (stale,) = claim(store, worker)
    home.kill(worker)
    assert store.rescue() == ["a"]
    assert store.workers() == []
    (again,) = claim(store, worker)
    assert (again.id, again.fence) == ("a", 2)
    assert store.workers() == [WorkerInfo(worker.worker, 2, ["default"])]
    assert store.rescue() == []
    assert not worker.started(stale)
    assert settle(store, worker, again, DONE) == []


def test_what_a_worker_holds_without_knowing_goes_back_into_the_line(
    home: RedisHome, store: RedisStore
) -> None:
    worker = store.join()
    add(store, "known", "unknown", "begun")
    known, unknown, begun = claim(store, worker)
    worker.started(begun)
    worker.drop([unknown, begun])  # as if the answer had never come
    home.clock.move(BEAT_SECONDS)
    worker.beat()
    found = {id: store.get(id) for id in ("known", "unknown", "begun")}
    assert {id: each.state for id, each in found.items()} == {
        "known": State.RUNNING,
        "unknown": State.QUEUED,
        "begun": State.QUEUED,
    }
    assert [found[id].attempt for id in ("unknown", "begun")] == [0, 1]
    assert [found[id].crashes for id in ("unknown", "begun")] == [0, 0]
    assert settle(store, worker, known, DONE) == []
    assert settle(store, worker, unknown, DONE) == [unknown]
    assert store.counters() == counted(store)


def test_a_role_goes_to_another_when_its_holder_is_silent(own: RedisServer) -> None:
    one = RedisStore(own.url, "app", lease=0.5)
    two = RedisStore(own.url, "app", lease=LONG)
    assert one.elect("upkeep")
    until(lambda: two.elect("upkeep"), deadline=30.0)
    assert not one.elect("upkeep")
    one.resign("upkeep")
    assert not one.elect("upkeep")
    two.close()
    assert one.elect("upkeep")
    one.close()


def test_whoever_asks_again_goes_on_holding_a_role(own: RedisServer) -> None:
    store = RedisStore(own.url, "app", lease=LONG)
    store.elect("upkeep")
    with client(own.url) as redis:
        redis.pexpire("{bb:app}:role:upkeep", 60_000)
        assert store.elect("upkeep")
        assert redis.pttl("{bb:app}:role:upkeep") > 60_000
    store.close()


# a Redis that is away, forgets, is full


def test_a_redis_that_is_away_is_busy_and_comes_back(own: RedisServer, there: RedisStore) -> None:
    worker = there.join()
    add(there, "a", "b")
    (held,) = claim(there, worker, 1)
    own.kill()
    for ask in (there.now, there.find, there.counters, there.check_writable, there.rescue):
        with pytest.raises(StoreBusy, match=r"Redis at 127.0.0.1:\d+/0 does not answer"):
            ask()
    with pytest.raises(StoreBusy, match="Start it, or correct BACKBURNER_URL"):
        settle(there, worker, held, DONE)
    assert not worker.started(held)
    own.start()
    assert settle(there, worker, held, DONE) == []
    assert [each.id for each in claim(there, worker)] == ["b"]
    assert there.get("a").state is State.SUCCEEDED


def test_a_store_that_begins_while_redis_is_away_goes_on_when_it_is_there(
    own: RedisServer, there: RedisStore
) -> None:
    own.kill()
    with pytest.raises(StoreBusy):
        there.join()
    own.start()
    add(there, "a")
    assert len(claim(there, there.join())) == 1


def test_what_only_redis_had_is_gone_with_it(own: RedisServer, there: RedisStore) -> None:
    worker = there.join()
    add(there, "a", "b")
    (held,) = claim(there, worker, 1)
    with client(own.url) as redis:
        redis.flushall()
        redis.script_flush()
    for id in "ab":
        with pytest.raises(JobNotFound, match="There is no job"):
            there.get(id)
    assert (there.find(), there.counters(), there.workers()) == ([], {}, [])
    assert settle(there, worker, held, DONE) == [held]
    assert there.rescue() == []
    add(there, "c")
    (after,) = claim(there, worker)
    assert settle(there, worker, after, DONE) == []
    assert there.counters() == {("default", State.SUCCEEDED): 1}
    assert [info.worker for info in there.workers()] == [worker.worker]


def test_an_end_that_redis_forgot_lets_the_job_run_again(tmp_path: Path) -> None:
    """Without ``appendonly`` Redis goes back to what it had saved last."""
    clock = FakeClock()
    with running_redis(tmp_path) as server:
        store = RedisStore(server.url, "app", clock=clock, silence=LONG)
        worker = store.join()
        add(store, "ended", "claimed")
        ended, _ = claim(store, worker)
        worker.started(ended)
        with client(server.url) as redis:
            redis.save()
        settle(store, worker, ended, DONE)
        server.kill()
        server.start()
        assert store.get("ended").state is State.RUNNING
        clock.move(BEAT_SECONDS)
        worker.beat()
        assert [store.get(id).state for id in ("ended", "claimed")] == [
            State.QUEUED,
            State.RUNNING,
        ]
        (again,) = claim(store, worker)
        assert (again.id, again.fence, again.crashes) == ("ended", 2, 0)
        assert settle(store, worker, ended, DONE) == [ended]
        assert settle(store, worker, again, DONE) == []
        store.close()


def test_a_start_whose_answer_was_lost_is_not_made_twice(own: RedisServer) -> None:
    with proxy_of(own.port) as proxy:
        store = RedisStore(f"redis://127.0.0.1:{proxy.port}/0", "app", silence=LONG)
        store.counters()
        proxy.cut_answers(1)
        (record,) = store.add([job("a", alias="mine")], limit=1)
        assert record == store.get("a")
        assert store.counters() == {("default", State.QUEUED): 1}
        proxy.cut_answers(1)
        assert store.request_cancel("a").state is State.CANCELLED
        store.close()


def test_a_turn_whose_answer_was_lost_loses_no_job(own: RedisServer) -> None:
    clock = FakeClock()
    with proxy_of(own.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        store = RedisStore(url, "app", clock=clock, silence=LONG)
        worker = store.join()
        add(store, "a", "b")
        (held,) = claim(store, worker, 1)
        proxy.cut_answers(1)
        with pytest.raises(StoreBusy):
            store.turn(worker, settled=[Settlement(held, DONE)], room=1, tasks=["task"])
        assert store.get("a").state is State.SUCCEEDED
        assert store.get("b").state is State.RUNNING
        assert settle(store, worker, held, DONE) == [held]
        clock.move(BEAT_SECONDS)
        worker.beat()
        (again,) = claim(store, worker)
        assert (again.id, again.fence, again.attempt) == ("b", 2, 1)
        assert settle(store, worker, again, DONE) == []
        store.close()


def test_nobody_waits_long_for_a_connection_that_stalls(own: RedisServer) -> None:
    with proxy_of(own.port) as proxy:
        store = RedisStore(f"redis://127.0.0.1:{proxy.port}/0", "app", silence=LONG)
        add(store, "a")
        proxy.stalled.set()
        with pytest.raises(StoreBusy, match="does not answer"):
            store.get("a")
        proxy.stalled.clear()
        assert store.get("a").state is State.QUEUED
        store.close()


def test_a_full_redis_refuses_new_jobs_and_loses_none(own: RedisServer, there: RedisStore) -> None:
    worker = there.join()
    finish(there, worker, "a")
    add(there, "failing", "succeeding")
    with client(own.url) as redis:
        redis.config_set("maxmemory", 1)
        with pytest.raises(StoreFull, match=r"The memory of Redis at .* is full"):
            add(there, "b")
        with pytest.raises(StoreFull, match="BACKBURNER_KEEP"):
            there.check_writable()
        assert there.get("a").state is State.SUCCEEDED
        failing, succeeding = claim(there, worker)
        assert worker.started(failing)
        assert settle(there, worker, failing, BROKEN) == []
        assert settle(there, worker, succeeding, Succeeded(b'"long"')) == []
        assert there.retry("failing").state is State.QUEUED
        assert there.elect("upkeep")
        assert there.rescue() == []
        assert sorted(there.purge(10, before=there.now() + 1)) == ["a", "succeeding"]
        redis.config_set("maxmemory", 0)
    add(there, "b")
    assert there.counters() == counted(there)


def test_a_replica_is_only_to_be_read(own: RedisServer, there: RedisStore) -> None:
    with client(own.url) as redis:
        redis.replicaof("127.0.0.1", 1)
        with pytest.raises(StoreError, match="is a replica and only to be read"):
            add(there, "a")
        assert there.counters() == {}


def test_a_redis_that_cannot_save_says_so(own: RedisServer, there: RedisStore) -> None:
    with client(own.url) as redis:
        redis.config_set("save", "3600 1")
        (own.folder / "dump.rdb").mkdir()  # where the file would have its place
        redis.bgsave()
        until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(StoreError, match="cannot save its data"):
            add(there, "a")


def test_a_wrong_password_is_no_redis_that_is_away(own: RedisServer) -> None:
    with client(own.url) as redis:
        redis.config_set("requirepass", "secret")
        for user in ("", ":wrong@"):
            store = RedisStore(own.url.replace("127", f"{user}127", 1), "app")
            with pytest.raises(StoreError, match="refuses us") as refused:
                store.counters()
            assert not isinstance(refused.value, StoreBusy)
            assert "wrong@" not in str(refused.value)
            store.close()
    store = RedisStore(own.url.replace("127", ":secret@127", 1), "app")
    assert store.counters() == {}
    store.close()


def test_something_of_another_program_is_left_alone(own: RedisServer, there: RedisStore) -> None:
    with client(own.url) as redis:
        redis.set("{bb:app}:state:queued", "of another program")
        with pytest.raises(StoreCorrupt, match="Give the jobs a database of their own"):
            add(there, "a")
        assert redis.get("{bb:app}:state:queued") == b"of another program"


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_redis_that_may_throw_jobs_away_is_told_of(
    own: RedisServer, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    with client(own.url) as redis:
        redis.config_set("maxmemory-policy", policy)
    store = RedisStore(own.url, "app")
    with caplog.at_level(logging.WARNING, "flask_backburner"):
        store.counters()
        store.find()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"its maxmemory-policy is {policy}. Set it to noeviction" in caplog.text
    assert store.eviction_risk() == caplog.messages[0]
    store.close()


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
def test_a_redis_that_throws_away_only_what_may_go_is_fine(policy: str) -> None:
    assert eviction_risk({"maxmemory_policy": policy}, "here") is None


def test_a_redis_that_is_too_old_is_refused() -> None:
    with pytest.raises(StoreError, match=r"of version 4\.0\.9; the job store takes 5\.0 or newer"):
        check_version({"redis_version": "4.0.9"}, "here")
    check_version({"redis_version": "5.0.14"}, "here")
    check_version({"redis_version": "8.2"}, "here")


def test_a_url_with_a_part_that_is_not_known_is_an_error_that_says_so() -> None:
    store = RedisStore(shared_url() + "?colour=red", "app")
    with pytest.raises(StoreError, match=r"has a part that is not known: .*colour.*BACKBURNER_URL"):
        store.counters()
    store.close()


def test_without_its_package_the_store_says_what_to_install() -> None:
    program = """
import sys
sys.modules["redis"] = None
from flask_backburner.errors import StoreError
from flask_backburner.store.redis import RedisStore
try:
    RedisStore("redis://127.0.0.1:1/0", "app").counters()
except StoreError as error:
    print(error)
"""
    assert said(program).endswith("Install it with: pip install 'Flask-Backburner[celery]'")


# what it costs


def commands(redis: Redis) -> int:
    """How many commands the server has carried out, in scripts too."""
    stats = redis.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_info")


def test_a_turn_costs_the_same_however_many_jobs_are_done_or_wait(own: RedisServer) -> None:
    store = RedisStore(own.url, "app", silence=LONG)
    worker = store.join()
    costs = []
    with client(own.url) as redis:
        for number in range(2):
            add(store, *(f"{number}-{n}" for n in range(400)))
            store.turn(
                worker, settled=[Settlement(held, DONE) for held in claim(store, worker, 300)]
            )
            before = commands(redis)
            (held,) = claim(store, worker, 1)
            settle(store, worker, held, DONE)
            costs.append(commands(redis) - before)
    assert costs[0] == costs[1] < 60
    store.close()


def test_an_idle_worker_writes_nothing(own: RedisServer, there: RedisStore) -> None:
    worker = there.join()
    add(there, "a", task="tomorrow")
    add(there, "b", run_at=there.now() + 3600)
    with client(own.url) as redis:
        before = redis.info("persistence")["rdb_changes_since_last_save"]
        for _ in range(3):
            assert claim(there, worker) == []
            there.find()
            there.waiting("a")
            there.oldest_queued()
            there.workers()
            there.counters()
        assert redis.info("persistence")["rdb_changes_since_last_save"] == before


def test_thousands_of_jobs_are_added_at_once_and_claimed_in_parts(store: RedisStore) -> None:
    ids = [f"j{n}" for n in range(3000)]
    assert len(store.add([job(id) for id in ids], limit=3000)) == 3000
    with pytest.raises(QueueFull):
        store.add([job("one more")], limit=3000)
    worker = store.join()
    run: list[str] = []
    while claims := claim(store, worker, 2000):
        run += [held.id for held in claims]
        assert store.turn(worker, settled=[Settlement(each, DONE) for each in claims]).refused == ()
    assert run == ids
    assert store.counters() == {("default", State.SUCCEEDED): 3000}


def test_a_crowd_that_becomes_due_is_claimed_by_and_by(home: RedisHome, store: RedisStore) -> None:
    soon = store.now() + 1
    store.add([job(f"j{n}", run_at=soon) for n in range(1200)], limit=2000)
    home.clock.move(1)
    worker = store.join()
    run = 0
    while claims := claim(store, worker, 500):
        run += len(claims)
    assert run == 1200


def test_nothing_stays_of_forgotten_jobs_but_what_goes_by_itself(
    home: RedisHome, store: RedisStore, redis: Redis
) -> None:
    worker = store.join()
    add(store, "a", owner="ann", alias="mine", retries=2, start_by=store.now() + 50)
    add(store, "x", external=True, deadline=9.0)
    (held,) = claim(store, worker)
    news = Report(held, Progress(1, 2), lines("one"), saved=(("key", b"1"),))
    store.turn(worker, reports=[news], settled=[Settlement(held, Released())])
    (again,) = claim(store, worker)
    settle(store, worker, again, Succeeded(b'"a"'))
    store.request_cancel("x")
    home.clock.move(KEEPING.done)
    assert sorted(store.purge(10)) == ["a", "x"]
    worker.leave()
    space = store._space.name
    names = {name.decode().removeprefix(f"{space}:") for name in redis.scan_iter(f"{space}*")}
    assert names == {"seq", "bytes", "gone:a", "gone:x"}
    assert redis.get(f"{space}:bytes") == b"0"
    assert redis.ttl(f"{space}:gone:a") > 0
    with pytest.raises(JobForgotten):
        store.get("a")


def test_the_oldest_jobs_go_when_all_take_too_much_room() -> None:
    clock = FakeClock()
    small = Keeping(done=1000.0, failed=2000.0, bytes=50_000)
    store = RedisStore(shared_url(), "room", keeping=small, clock=clock, silence=LONG)
    worker = store.join()
    for n in range(5):
        finish(store, worker, f"j{n}", Succeeded(b'"' + bytes(20_000) + b'"'))
        clock.move(1)
    assert store.purge(10) == ["j0", "j1", "j2"]
    assert store.purge(10) == []
    assert [record.id for record in store.find()] == ["j4", "j3"]
    clock.move(1000)
    store.purge(10)
    store.close()


def test_listing_by_two_things_walks_through_the_shorter_list(store: RedisStore) -> None:
    add(store, *(f"m{n}" for n in range(1100)), queue="mail")
    add(store, "ann's", queue="mail", owner="ann")
    add(store, "other", owner="ann")
    assert [record.id for record in store.find(queue="mail", owner="ann")] == ["ann's"]
    assert len(store.find(queue="mail", limit=1050)) == 1050
    assert [record.id for record in store.find(limit=2, before="m1")] == ["m0"]


def test_an_ordinary_clock_leaves_time_to_redis() -> None:
    assert RedisStore(shared_url(), "x", clock=Clock())._space._clock is None
    assert RedisStore(shared_url(), "x", clock=FakeClock())._space._clock is not None
