"""Jobs in Celery's workers: real workers, a real Redis, and for some a real RabbitMQ."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from apps import depot
from apps.depot import ended
from kombu import Connection

from flask_backburner import JobNotFound
from flask_backburner.engine.celery.engine import CeleryEngine
from flask_backburner.engine.celery.post import Post
from flask_backburner.installation import Installation
from support import processes
from support.engines import ON_CELERY, Engine, awaited
from support.journal import Journal
from support.latch import Latch
from support.rabbitmq import running_rabbit
from support.redis_server import RedisServer, running_redis
from support.servers import Served, Servers, free_port
from support.tcp_proxy import TcpProxy, proxy_of
from support.waiting import until

TESTS = Path(__file__).parent
APP = "apps.depot:app"
LONG = 60.0
THREADS = ("--pool", "threads")

on_both = pytest.mark.parametrize("engine_kind", ON_CELERY, indirect=True)
on_redis = pytest.mark.parametrize("engine_kind", ["celery-redis"], indirect=True)


class Depot:
    """The app in the test's process, and workers of it."""

    def __init__(self, serve: Servers, installation: Installation) -> None:
        self._serve = serve
        self.installation = installation
        self.tasks = depot.tasks

    @property
    def celery(self) -> CeleryEngine:
        engine = self.installation.engine
        assert isinstance(engine, CeleryEngine)
        return engine

    def worker(self, *args: str, **env: str) -> Served:
        """A worker that takes jobs; of two processes unless said otherwise."""
        return awaited(self.started("-c", "2", *args, **env))

    def started(self, *args: str, **env: str) -> Served:
        return self._serve.worker(TESTS, APP, *args, env=env)

    def by_celery(self, *args: str) -> Served:
        """A worker as users of Celery start it."""
        command = ("-m", "celery", "-A", "apps.depot:celery_app", "worker", "-l", "INFO", *args)
        return awaited(self._serve.run(TESTS, *command))

    def broker(self) -> Connection:
        return self.celery.celery_app.connection_for_write()


@pytest.fixture
def shop(
    engine: Engine, serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Depot]:
    with opened_shop(engine.env, serve, tmp_path, monkeypatch) as shop:
        yield shop


@pytest.fixture(autouse=True)
def journalled(journal: Journal) -> None:
    """Every job here writes into the journal."""


@contextmanager
def opened_shop(
    env: Mapping[str, str], serve: Servers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Depot]:
    """The app where the environment says, in this process and in those that are started."""
    instance = folder / "instance"
    instance.mkdir()
    for name, value in {**env, depot.FOLDER: str(instance)}.items():
        monkeypatch.setenv(name, value)
        serve.env[name] = value
    with depot.opened() as installation:
        yield Depot(serve, installation)
        serve.stop()


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
        "Error: apps.depot:in_process asked for a process of its own (process=True), which the "
        "pool of threads has not. Start the worker with --pool prefork.\n"
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


@on_redis
def test_a_thousand_jobs_leave_few_tokens(shop: Depot, latch: Latch) -> None:
    shop.worker()
    for _ in range(2):
        depot.hold.delay()
    latch.arrived(2, LONG)
    depot.add.map([(n, n) for n in range(1000)])
    assert waiting_tokens(shop) <= 10


# When something dies


@on_both
def test_a_killed_child_harms_its_own_job_only_which_runs_again(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    worker = shop.worker("-c", "2")
    doomed, innocent = depot.hold.delay(), depot.hold.delay()
    latch.arrived(2, LONG)
    (pid,) = journal.pids(doomed.id)
    assert pid != worker.pid
    worker.kill9(pid)
    latch.arrived(3, LONG)
    latch.open()
    assert (ended(doomed).attempt, doomed.record.crashes) == (2, 1)
    assert (ended(innocent).attempt, innocent.record.crashes) == (1, 0)


@on_redis
def test_with_one_child_only_work_goes_on_after_its_death(shop: Depot) -> None:
    shop.worker("-c", "1")
    job = ended(depot.die.delay(2))
    assert (job.result, job.attempt, job.record.crashes) == ("survived", 3, 2)


@on_redis
def test_who_always_kills_its_process_is_lost_and_nobody_else(shop: Depot) -> None:
    shop.worker()
    poison = depot.die.delay(99)
    innocents = depot.add.map([(n, n) for n in range(40)])
    assert [ended(job).state for job in innocents] == ["succeeded"] * 40
    assert {job.record.crashes for job in innocents} == {0}
    fault = ended(poison).error
    assert fault is not None
    assert (fault.code, poison.record.crashes) == ("lost", 4)


@on_both
def test_a_killed_worker_with_all_its_children_leaves_its_jobs_to_another(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    first = shop.worker()
    jobs = [depot.hold.delay() for _ in range(2)]
    latch.arrived(2, LONG)
    first.kill9()
    until(lambda: first.pids() == [], LONG, "the end of its children")
    latch.open()
    shop.worker()
    assert [ended(job).attempt for job in jobs] == [2, 2]


@on_redis
def test_threads_whose_process_is_killed_leave_their_jobs_to_another(
    shop: Depot, latch: Latch
) -> None:
    first = shop.worker(*THREADS, **{depot.NO_PROCESS_TASK: "1"})
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    first.kill9()
    shop.worker()
    latch.arrived(2, LONG)
    latch.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 1)


@on_redis
def test_a_dead_machine_is_told_by_its_silence(shop: Depot, latch: Latch, tmp_path: Path) -> None:
    first = shop.worker()
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    (tmp_path / "other").mkdir()
    shop.worker(TMPDIR=str(tmp_path / "other"))  # sees nothing of the first one but in Redis
    first.kill9()
    latch.arrived(2, LONG)
    latch.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 1)


# Time


@on_redis
def test_a_timeout_ends_the_process_of_a_job_that_does_not_listen(
    shop: Depot, journal: Journal
) -> None:
    shop.worker()
    job = depot.spin.delay()
    error = ended(job).error
    assert error is not None
    assert (error.code, job.attempt, job.record.crashes) == ("timeout", 1, 0)
    (pid,) = journal.pids(job.id)
    until(lambda: not processes.alive(pid), LONG)


@on_redis
def test_a_timeout_is_a_failure_that_may_be_retried(shop: Depot) -> None:
    shop.worker()
    job = ended(depot.spin_once.delay())
    assert (job.result, job.attempt, job.record.crashes) == ("done", 2, 0)


@on_redis
def test_a_timeout_reaches_a_job_that_lets_no_thread_run(shop: Depot, journal: Journal) -> None:
    shop.worker()
    job = depot.grip.delay()
    error = ended(job).error
    assert error is not None
    assert (error.code, job.attempt, job.record.crashes) == ("timeout", 1, 0)
    (pid,) = journal.pids(job.id)
    until(lambda: not processes.alive(pid), LONG)


@on_redis
def test_a_job_that_lets_no_thread_run_is_not_taken_for_dead(shop: Depot) -> None:
    shop.worker()
    job = depot.long_grip.delay(12)
    assert (ended(job).result, job.attempt, job.record.crashes) == (12, 1, 0)


@on_redis
def test_a_cancel_ends_the_process_of_a_job_that_does_not_listen(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    shop.worker()
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    job.cancel()
    assert ended(job).state == "cancelled"
    (pid,) = journal.pids(job.id)
    until(lambda: not processes.alive(pid), LONG)


@on_redis
def test_a_process_that_hangs_is_ended_and_its_job_runs_again_without_blame(
    shop: Depot, latch: Latch, journal: Journal
) -> None:
    shop.worker(FLASK_BACKBURNER_HANG="4")
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    (pid,) = journal.pids(job.id)
    processes.kill(pid, signal.SIGSTOP)
    latch.arrived(2, LONG)
    latch.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 0)
    until(lambda: not processes.alive(pid), LONG)


# Stopping


@on_redis
def test_a_worker_that_is_told_to_stop_ends_with_what_runs(shop: Depot, latch: Latch) -> None:
    worker = shop.worker()
    running, waiting = depot.hold.delay(), None
    latch.arrived(1, LONG)
    worker.terminate()
    until(lambda: "Told to stop" in worker.output(), LONG)
    waiting = depot.add.delay(1, 1)
    latch.open()
    assert worker.wait(LONG) == 0
    assert ended(running).attempt == 1
    assert waiting.refresh().state == "queued"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
@on_redis
def test_what_outlasts_the_grace_is_handed_back_and_is_no_crash(
    shop: Depot, latch: Latch, pool: str
) -> None:
    worker = shop.worker("--grace", "0.2", "--pool", pool, **{depot.NO_PROCESS_TASK: "1"})
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    worker.terminate()
    until(lambda: job.refresh().state == "queued", LONG)
    assert worker.wait(LONG) == 1
    shop.worker()
    latch.arrived(2, LONG)
    latch.open()
    assert (ended(job).attempt, job.record.crashes) == (2, 0)


@on_redis
def test_a_second_signal_hands_back_at_once(shop: Depot, latch: Latch) -> None:
    worker = shop.worker("--grace", "1000")
    job = depot.hold.delay()
    latch.arrived(1, LONG)
    worker.terminate()
    until(lambda: "Told to stop" in worker.output(), LONG)
    worker.terminate(signal.SIGQUIT)
    until(lambda: job.refresh().state == "queued", LONG)
    worker.wait(LONG)
    assert job.record.crashes == 0


@on_redis
def test_hup_lets_all_end_and_starts_the_same_worker_again(shop: Depot, latch: Latch) -> None:
    worker = shop.worker()
    running = depot.hold.delay()
    latch.arrived(1, LONG)
    worker.terminate(signal.SIGHUP)
    until(lambda: "Told to stop" in worker.output(), LONG)
    waiting = depot.add.delay(1, 2)
    latch.open()
    assert ended(running).attempt == 1
    assert ended(waiting).result == 3
    assert worker.running()
    assert worker.output().count(" ready.") == 2


# When the broker is away


@pytest.fixture
def dead_end() -> str:
    """A broker's address where nobody listens."""
    return f"redis://127.0.0.1:{free_port()}/0"


@on_redis
def test_a_view_does_not_wait_for_a_broker_that_is_down(
    shop: Depot, serve: Servers, dead_end: str
) -> None:
    served = serve.flask_run(TESTS, APP, env={"FLASK_BACKBURNER_BROKER_URL": dead_end})
    answers = [requests.post(f"{served.url}/add", timeout=LONG) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert answers[-1].elapsed.total_seconds() < 10
    shop.worker()
    for answer in answers:
        assert ended(shop.tasks.job(answer.json()["id"])).result == 3


@on_redis
def test_an_unknown_id_is_404(shop: Depot, serve: Servers) -> None:
    served = serve.flask_run(TESTS, APP)
    assert requests.get(f"{served.url}/jobs/{'x' * 22}", timeout=LONG).status_code == 404


def broker_port(engine: Engine) -> int:
    url = engine.env.get("FLASK_BACKBURNER_BROKER_URL", engine.env["FLASK_BACKBURNER_URL"])
    return int(urlsplit(url).port or 0)


@pytest.fixture
def proxied(
    engine: Engine, serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Depot, TcpProxy]]:
    """The app with a proxy before its broker."""
    with proxy_of(broker_port(engine)) as proxy:
        at = f"127.0.0.1:{proxy.port}"
        rabbit = engine.name.endswith("rabbitmq")
        url = f"amqp://guest:guest@{at}//" if rabbit else f"redis://{at}/1"
        env = {**engine.env, "FLASK_BACKBURNER_BROKER_URL": url}
        with opened_shop(env, serve, tmp_path, monkeypatch) as shop:
            yield shop, proxy


@on_both
def test_after_connections_to_the_broker_were_cut_work_goes_on(
    proxied: tuple[Depot, TcpProxy],
) -> None:
    shop, proxy = proxied
    worker = shop.worker()
    assert ended(depot.add.delay(0, 0)).result == 0
    proxy.cut_answers(40)
    jobs = [depot.add.delay(n, n) for n in range(3)]
    assert [ended(job).result for job in jobs] == [0, 2, 4]
    assert worker.running()


@on_both
def test_after_a_broker_was_silent_for_a_while_work_goes_on(
    proxied: tuple[Depot, TcpProxy],
) -> None:
    shop, proxy = proxied
    shop.worker()
    assert ended(depot.add.delay(0, 0)).result == 0
    proxy.stalled.set()
    began = time.monotonic()
    jobs = [depot.add.delay(n, n) for n in range(3)]
    assert time.monotonic() - began < 5  # who starts a job does not wait for the broker
    proxy.stalled.clear()
    assert [ended(job).result for job in jobs] == [0, 2, 4]


def test_after_a_restart_of_redis_work_goes_on(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, latch: Latch
) -> None:
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as own:
        env = {"FLASK_BACKBURNER_URL": own.url}
        with opened_shop(env, serve, tmp_path, monkeypatch) as shop:
            shop.worker()
            running = depot.hold.delay()
            latch.arrived(1, LONG)
            waiting = depot.add.using(countdown=1.0).delay(1, 1)
            own.kill()
            own.start()
            latch.open()
            assert ended(depot.add.delay(1, 2)).result == 3
            assert (ended(running).attempt, running.record.crashes) == (1, 0)
            assert ended(waiting).result == 2


def test_after_redis_has_forgotten_everything_new_work_is_done(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, latch: Latch
) -> None:
    (tmp_path / "redis").mkdir()
    with (
        running_redis(tmp_path / "redis") as own,
        opened_shop({"FLASK_BACKBURNER_URL": own.url}, serve, tmp_path, monkeypatch) as shop,
    ):
        shop.worker()
        gone = depot.hold.delay()
        latch.arrived(1, LONG)
        own.kill()
        own.start()  # without appendonly nothing is left
        latch.open()
        assert ended(depot.add.delay(1, 2)).result == 3
        with pytest.raises(JobNotFound):
            gone.refresh()


def test_after_a_restart_of_rabbitmq_work_goes_on(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    (tmp_path / "rabbit").mkdir()
    with running_rabbit(tmp_path / "rabbit") as rabbit:
        env = {"FLASK_BACKBURNER_URL": redis_server.url, "FLASK_BACKBURNER_BROKER_URL": rabbit.url}
        env["FLASK_BACKBURNER_NAME"] = f"test-{secrets.token_hex(6)}"
        with opened_shop(env, serve, tmp_path, monkeypatch) as shop:
            shop.worker()
            assert ended(depot.add.delay(0, 0)).result == 0
            rabbit.kill()
            job = depot.add.delay(1, 2)
            rabbit.start()
            assert ended(job).result == 3
