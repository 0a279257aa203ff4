"""A job's way through a worker of Celery's, what the store decides of it, and tokens."""

from __future__ import annotations

from typing import Any

from apps import depot
from apps.depot import ended

from flask_backburner.engine.celery.post import Post
from support.depots import LONG, THREADS, Depot, on_both, on_redis
from support.journal import Journal
from support.latch import Latch
from support.redis_server import client
from support.waiting import until

# A job's way


@on_both
def test_a_job_runs_in_a_worker_and_its_progress_is_seen(shop: Depot, latch: Latch) -> None:
    shop.worker()
    job = depot.steps.delay(3)
    latch.arrived(1, LONG)
    until(lambda: job.refresh().progress.current == 1, LONG)
    assert (job.state, job.progress.message, job.attempt) == ("running", "Step 1", 1)
    latch.open()
    assert ended(job).result == 3
    assert [line.text for line in job.log()] == ["Did 1", "Did 2", "Did 3"]


@on_both
def test_many_jobs_are_run_once_each(shop: Depot, journal: Journal) -> None:
    shop.worker()
    jobs = depot.add.map([(n, n) for n in range(200)])
    assert [ended(job).result for job in jobs] == [2 * n for n in range(200)]
    assert sorted(entry.id for entry in journal.entries("add")) == sorted(job.id for job in jobs)


NAMES = ("first@here", "second@here")


@on_both
def test_celerys_own_commands_are_answered(shop: Depot) -> None:
    workers = [shop.by_celery("-c", "1", "-n", name) for name in NAMES]
    pinged = shop.celery_command("inspect", "--timeout", "60", "-d", ",".join(NAMES), "ping")
    assert pinged.wait(LONG) == 0, pinged.output()
    assert [f"{name}: OK" in pinged.output() for name in NAMES] == [True, True]
    assert ended(depot.add.delay(1, 2)).result == 3
    assert [worker.running() for worker in workers] == [True, True]


@on_redis
def test_celerys_own_command_starts_a_worker_as_well(shop: Depot) -> None:
    shop.by_celery("-c", "1")
    assert ended(depot.add.delay(1, 2)).result == 3


@on_redis
def test_a_pool_of_threads_runs_jobs_side_by_side(shop: Depot, latch: Latch) -> None:
    worker = shop.worker(*THREADS, **{depot.NO_PROCESS_TASK: "1"})
    jobs = [depot.hold.delay() for _ in range(2)]
    latch.arrived(2, LONG)
    latch.open()
    assert {ended(job).result for job in jobs} == {worker.pid}


@on_redis
def test_an_async_task_runs_on_a_loop_and_hears_of_a_cancel(shop: Depot, journal: Journal) -> None:
    shop.worker()
    assert ended(depot.soon.delay("word")).result == "word"
    waiting = depot.later.delay()
    until(lambda: journal.starts(waiting.id) == 1, LONG)
    waiting.cancel()
    assert ended(waiting).state == "cancelled"


@on_redis
def test_a_file_and_its_bytes_arrive(shop: Depot) -> None:
    shop.worker()
    job = ended(depot.parcel.delay())
    assert [(file.name, file.size) for file in job.files] == [("parcel.bin", 5)]
    assert shop.installation.files.path(job.id, "parcel.bin").read_bytes() == b"bytes"


@on_redis
def test_a_task_that_wants_a_process_runs_in_the_pools(shop: Depot) -> None:
    worker = shop.worker()
    assert ended(depot.in_process.delay()).result in set(worker.pids()) - {worker.pid}


@on_redis
def test_threads_are_refused_where_a_task_wants_a_process(shop: Depot) -> None:
    worker = shop.started(*THREADS)
    assert worker.wait(LONG) == 1
    assert worker.output().endswith(
        "Error: apps.depot:in_process asked for a process of its own (process=True), which "
        "Celery's pools solo and threads have not. Start the worker with --pool prefork.\n"
    )


# What the store alone decides


@on_redis
def test_higher_priority_goes_first_however_many_tokens_wait(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    shop.worker("-c", "1")
    held = depot.hold.delay()
    latch.arrived(1, LONG)
    low = [depot.add.using(priority=0).delay(n, 0) for n in range(20)]
    high = [depot.add.using(priority=5, queue="other").delay(n, 1) for n in range(3)]
    latch.open()
    for job in [held, *low, *high]:
        ended(job)
    order = [entry.id for entry in journal.entries("add")]
    assert order == [job.id for job in high + low]


@on_redis
def test_a_paused_queue_stays_where_it_is(shop: Depot) -> None:
    shop.worker()
    shop.installation.store.pause("slow", True)
    paused = depot.add.using(queue="slow").delay(1, 1)
    shop.celery.announce("slow", 10)
    assert ended(depot.add.delay(1, 2)).result == 3
    assert paused.refresh().state == "queued"
    shop.installation.store.pause("slow", False)
    assert ended(paused).result == 2


@on_redis
def test_a_countdown_is_kept_and_found_by_nobodys_message(shop: Depot) -> None:
    shop.worker()
    job = depot.add.using(countdown=1.0).delay(1, 1)
    ended(job)
    assert job.started_at is not None
    assert job.started_at >= job.run_at


@on_both
def test_a_cancelled_job_never_starts_though_its_token_is_on_its_way(
    shop: Depot, journal: Journal
) -> None:
    job = depot.add.delay(1, 1)
    job.cancel()
    shop.worker()
    assert ended(depot.add.delay(1, 2)).result == 3
    assert job.refresh().state == "cancelled"
    assert journal.entries("add")[0].id != job.id


@on_redis
def test_a_worker_serves_only_its_queues(shop: Depot, journal: Journal) -> None:
    shop.worker("-q", "mail", "-q", "a.b c")
    other = depot.add.delay(1, 1)
    assert ended(depot.add.using(queue="mail").delay(1, 2)).result == 3
    assert ended(depot.add.using(queue="a.b c").delay(2, 2)).result == 4
    until(lambda: (why := other.waiting) and why.reason == "no_worker", LONG)
    shop.by_celery("-c", "1")
    assert ended(other).result == 2


@on_redis
def test_without_a_worker_that_is_what_is_said(shop: Depot) -> None:
    job = depot.add.delay(1, 1)
    until(lambda: (why := job.waiting) and why.reason == "no_worker", LONG)


# Tokens


def tokens(shop: Depot, count: int) -> None:
    post = Post(shop.celery.celery_app)
    post.fill(shop.celery.names.everything, count)
    post.close()


def waiting_tokens(shop: Depot) -> int:
    with shop.broker() as connection:
        queue = shop.celery.names.everything
        declared = connection.default_channel.queue_declare(
            queue=queue, durable=True, auto_delete=False
        )
        return int(declared.message_count)


FULL = 2000
FORGED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"task": "backburner.carry", "id": "x", "timelimit": [0.001, 0.001]}, {}),
    ({"task": "backburner.carry", "id": "x", "eta": "2999-01-01T00:00:00"}, {}),
    ({"task": "backburner.carry", "id": "x", "expires": "1999-01-01T00:00:00"}, {}),
    ({"task": "backburner.carry", "id": "x", "retries": 99, "group": "g"}, {}),
    ({"task": "celery.backend_cleanup", "id": "x"}, {}),
    ({"task": "apps.depot:die", "id": "x"}, {}),
    ({"id": "x"}, {}),
    ({}, {}),
    ({"task": "backburner.carry", "id": "x"}, {"content_type": "application/x-python-serialize"}),
    ({"task": "backburner.carry", "id": "x"}, {"content_type": "application/x-yaml"}),
    ({"task": ["a", "list"]}, {}),
    ({"task": "backburner.carry", "compression": "application/x-nonsense"}, {}),
]


def forge(shop: Depot) -> None:
    """Messages that nobody of ours would send."""
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    bodies = [[], None, "text", [[], {}, {}], [["other", 7], {"queue": "x"}, None], [deep, {}, {}]]
    with shop.broker() as connection:
        producer = connection.Producer()
        for headers, options in FORGED:
            for body in bodies:
                message = {"body": body, "serializer": "json", **options}
                if options:
                    message |= {"body": b"cos\nsystem\n(S'exit'\ntR.", "content_encoding": "binary"}
                    message.pop("serializer")
                producer.publish(
                    **message, headers=headers, routing_key=shop.celery.names.everything
                )


@on_both
def test_forged_and_doubled_tokens_change_nothing(shop: Depot, journal: Journal) -> None:
    jobs = [depot.add.delay(n, n) for n in range(20)]
    worker = shop.worker()
    tokens(shop, 300)
    forge(shop)
    tokens(shop, 300)
    jobs += [depot.add.delay(n, n) for n in range(20)]
    assert [ended(job).state for job in jobs] == ["succeeded"] * 40
    assert sorted(entry.id for entry in journal.entries("add")) == sorted(job.id for job in jobs)
    until(lambda: waiting_tokens(shop) == 0, LONG, "the end of all messages")
    assert ended(depot.add.delay(1, 2)).result == 3
    assert worker.running(), worker.output()
    assert {job.attempt for job in jobs} == {1}


@on_both
def test_lost_tokens_are_made_up_for(shop: Depot, latch: Latch) -> None:
    shop.worker("-c", "1")
    held = depot.hold.delay()
    latch.arrived(1, LONG)
    jobs = [depot.add.delay(n, n) for n in range(5)]
    with shop.broker() as connection:
        connection.default_channel.queue_purge(shop.celery.names.everything)
    latch.open()
    assert [ended(job).state for job in [held, *jobs]] == ["succeeded"] * 6


NO_MESSAGES = [
    *(b"", b"not json", b"\xff", b"5", b"null", b"[]", b"{}", b'{"properties": {"x": 1}}'),
    *(b"[" * 100_000, b'{"__type__": "decimal", "__value__": "x"}'),
    *(b'{"__type__": "uuid", "__value__": 5}', b'{"__type__": [], "__value__": 5}'),
]


@on_redis
def test_what_is_no_message_at_all_harms_no_worker_and_stays_nowhere(shop: Depot) -> None:
    worker = shop.worker()
    name = shop.celery.names.everything
    with client(shop.installation.settings.broker or "") as broker:
        broker.lpush(f"{name}:{name}", *NO_MESSAGES)
        until(lambda: not broker.keys(f"{name}:*{name}"), LONG, "the end of all messages")
        assert ended(depot.add.delay(1, 2)).result == 3
        kept = [key.decode() for key in broker.keys(f"{name}:*")]
    assert [key for key in kept if "unacked" in key] == []
    assert worker.running()
    assert "Traceback" not in worker.output()


@on_both
def test_a_broker_full_of_tokens_changes_nothing_of_what_the_store_decides(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    shop.worker("-c", "1")
    held = depot.hold.delay()
    latch.arrived(1, LONG)
    shop.installation.store.pause("slow", True)
    paused = depot.add.using(queue="slow", priority=9).delay(1, 1)
    later = depot.add.using(countdown=2.0, priority=9).delay(2, 2)
    cancelled = depot.add.using(priority=9).delay(3, 3)
    low, high = depot.add.delay(4, 4), depot.add.using(priority=5).delay(5, 5)
    cancelled.cancel()
    tokens(shop, FULL)
    assert waiting_tokens(shop) >= FULL // 2
    latch.open()
    for job in (held, high, low, later):
        assert ended(job).state == "succeeded"
    assert later.started_at is not None
    assert later.started_at >= later.run_at
    assert (paused.refresh().state, cancelled.refresh().state) == ("queued", "cancelled")
    begun = [entry.id for entry in journal.entries("add")]
    assert {*begun} == {high.id, low.id, later.id}
    assert begun.index(high.id) < begun.index(low.id)
    shop.installation.store.pause("slow", False)
    assert ended(paused).result == 2


@on_redis
def test_a_thousand_jobs_leave_few_tokens(shop: Depot, latch: Latch) -> None:
    shop.worker()
    for _ in range(2):
        depot.hold.delay()
    latch.arrived(2, LONG)
    depot.add.map([(n, n) for n in range(1000)])
    assert waiting_tokens(shop) <= 10
