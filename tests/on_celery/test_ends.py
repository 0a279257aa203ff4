"""A worker of Celery's that is told to stop, or whose broker is away."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from apps import depot
from apps.depot import ended

from flask_backburner import JobNotFound
from flask_backburner.engine.celery.carrier import CARRY_SECONDS
from support.depots import APP, LONG, Depot, on_both, on_redis, opened_shop
from support.engines import Engine
from support.latch import Latch
from support.rabbitmq import running_rabbit
from support.redis_server import RedisServer, running_redis
from support.servers import TESTS, Servers, free_port
from support.tcp_proxy import TcpProxy, proxy_of
from support.waiting import until

EVERY = 1 << 30

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
def test_a_busy_worker_goes_on_while_the_broker_is_away(
    proxied: tuple[Depot, TcpProxy], latch: Latch
) -> None:
    shop, proxy = proxied
    shop.worker("-c", "1")
    running = depot.hold.delay()
    latch.arrived(1, LONG)
    began = time.monotonic()
    proxy.cut_answers(EVERY)
    waiting = [depot.add.delay(n, n) for n in range(3)]
    # Then another token is to take the place of the one that brought the first job.
    until(lambda: time.monotonic() - began > CARRY_SECONDS, LONG)
    latch.open()
    assert ended(running).attempt == 1
    assert [ended(job).result for job in waiting] == [0, 2, 4]


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
