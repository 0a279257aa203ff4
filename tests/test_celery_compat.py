"""Tasks and results under Celery's names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flask_backburner import current_job
from flask_backburner.celery_compat import Celery, Task, current_task, uuid
from flask_backburner.celery_compat.exceptions import (
    Ignore,
    MaxRetriesExceededError,
    NotRegistered,
    NotSupported,
    TaskRevokedError,
    TimeoutError,
)
from flask_backburner.celery_compat.result import AsyncResult, allow_join_result
from flask_backburner.errors import (
    AliasTaken,
    ArgumentError,
    CallError,
    DefinitionError,
    JobForgotten,
    JobNotDone,
    JobNotFound,
)
from flask_backburner.running import RUNNING
from support.celery_shop import Shop, shop_in


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_in(tmp_path) as shop:
        yield shop


class OutOfStock(Exception):
    """An error of the app's own."""


# Starting, and results


def test_a_task_is_pending_and_then_a_success(shop: Shop) -> None:
    @shop.celery.task
    def add(a: int, b: int) -> int:
        return a + b

    result = add.delay(2, 3)
    assert (result.state, result.info, result.ready()) == ("PENDING", None, False)
    shop.run()
    assert (result.state, result.status, result.result, result.get()) == (
        "SUCCESS",
        "SUCCESS",
        5,
        5,
    )
    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert result.traceback is None
    assert result.name == f"{__name__}.add"
    assert result.date_done == shop.tasks.job(result.id).finished_at


def test_args_and_kwargs_arrive_by_apply_async_and_by_name(shop: Shop) -> None:
    @shop.celery.task
    def listed(*args: int, **kwargs: int) -> Any:
        return [list(args), kwargs]

    results = [
        listed.apply_async((1, 2), {"c": 3}),
        listed.apply_async(args=[1], kwargs={"c": 3}),
        shop.celery.send_task(f"{__name__}.listed", [4]),
    ]
    shop.run()
    assert [each.get() for each in results] == [[[1, 2], {"c": 3}], [[1], {"c": 3}], [[4], {}]]


def test_a_task_is_a_function_too_and_then_reports_to_nobody(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def direct(self: Any, a: int) -> Any:
        self.update_state(state="PROGRESS", meta={"current": 1})
        return [a, self.request.id, self.request.called_directly, self.request.args]

    assert direct(7) == [7, None, True, [7]]


def test_wrong_arguments_raise_where_the_task_is_started(shop: Shop) -> None:
    @shop.celery.task
    def add(a: int, b: int) -> int:
        return a + b

    with pytest.raises(CallError, match="the positional argument 3 is one too many") as error:
        add.delay(1, 2, 3)
    assert isinstance(error.value, TypeError)
    assert "add(a: int, b: int)" in str(error.value)


def test_a_value_that_would_arrive_as_another_is_refused(shop: Shop) -> None:
    @shop.celery.task
    def book(day, seats=()):  # type: ignore[no-untyped-def]  # as tasks for Celery are
        return str(day)

    with pytest.raises(ArgumentError, match=r"cannot take day=datetime.date\(2026, 1, 2\)"):
        book.delay(date(2026, 1, 2))
    with pytest.raises(ArgumentError, match=r"cannot take seats=\(1, 2\)"):
        book.delay("2026-01-02", seats=(1, 2))


def test_a_hint_lets_it_travel_as_what_it_is(shop: Shop) -> None:
    @shop.celery.task
    def weekday(day: date) -> int:
        return day.weekday()

    result = weekday.delay(date(2026, 1, 2))
    shop.run()
    assert result.get() == 4


def test_a_task_named_nowhere_is_not_registered(shop: Shop) -> None:
    with pytest.raises(NotRegistered, match=r"No task is named 'shop\.no' in this process"):
        shop.celery.send_task("shop.no")
    with pytest.raises(KeyError):
        shop.celery.tasks["shop.no"]


def test_an_id_that_nobody_knows_is_pending_unless_strict(shop: Shop) -> None:
    unknown = AsyncResult("nobody")
    assert (unknown.state, unknown.info, unknown.ready()) == ("PENDING", None, False)
    assert (unknown.exists(), unknown.traceback, unknown.date_done) == (False, None, None)
    with pytest.raises(JobNotFound):
        AsyncResult("nobody", strict=True)
    with pytest.raises(JobNotFound):
        unknown.get(timeout=1)


def test_an_id_of_the_callers_own_names_the_task(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def whoami(self: Any) -> str:
        return str(self.request.id)

    own = uuid()
    result = whoami.apply_async(task_id=own)
    assert result.id == own
    shop.run()
    assert AsyncResult(own, strict=True).get() == own
    assert AsyncResult(result.job.id).get() == own
    with pytest.raises(AliasTaken, match=own):
        whoami.apply_async(task_id=own)


def test_an_own_id_may_look_like_one_of_ours(shop: Shop) -> None:
    @shop.celery.task
    def nothing() -> None: ...

    own = "abcdefghijklmnopqrstuv"
    nothing.apply_async(task_id=own)
    shop.run()
    assert AsyncResult(own).state == "SUCCESS"


def test_a_bound_task_knows_its_request(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def asked(self: Any, a: int, *, b: int) -> Any:
        request = self.request
        return [request.id, request.retries, request.args, request.kwargs, request.task]

    result = asked.apply_async((1,), {"b": 2}, headers={"trace": "x"})
    shop.run()
    assert result.get() == [result.id, 0, [1], {"b": 2}, f"{__name__}.asked"]


def test_headers_and_a_wish_for_no_result_travel_with_the_call(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def asked(self: Any) -> Any:
        return self.request.headers

    heard = asked.apply_async(headers={"trace": "x"})
    silent = asked.apply_async(headers={"trace": "x"}, ignore_result=True)
    shop.run()
    assert (heard.get(), silent.get()) == ({"trace": "x"}, None)


def test_current_task_is_the_one_that_runs(shop: Shop) -> None:
    @shop.celery.task
    def which() -> Any:
        return [current_task.name, current_task.request.id, shop.celery.current_task.name]

    assert not current_task
    result = which.delay()
    shop.run()
    assert result.get() == [f"{__name__}.which", result.id, f"{__name__}.which"]


def test_queue_and_priority_are_the_calls_else_the_tasks(shop: Shop) -> None:
    @shop.celery.task(queue="slow", priority=3)
    def work() -> None: ...

    mine = work.delay().job
    other = work.apply_async(queue="quick", priority=9).job
    assert (mine.queue, mine.record.priority) == ("slow", 3)
    assert (other.queue, other.record.priority) == ("quick", 9)


def test_countdown_and_eta_wait_for_their_time(shop: Shop) -> None:
    @shop.celery.task
    def work() -> str:
        return "done"

    now = datetime.fromtimestamp(shop.bench.clock.now(), UTC)
    results = [
        work.apply_async(countdown=60),
        work.apply_async(eta=now + timedelta(seconds=60)),
        work.apply_async(eta=(now + timedelta(seconds=60)).replace(tzinfo=None)),
        work.apply_async(eta=now - timedelta(days=1)),
    ]
    shop.run()
    assert [each.state for each in results] == ["PENDING", "PENDING", "PENDING", "SUCCESS"]
    shop.bench.clock.advance(61)
    shop.run()
    assert [each.state for each in results] == ["SUCCESS"] * 4


def test_a_time_without_a_zone_is_in_the_configured_one(shop: Shop) -> None:
    @shop.celery.task
    def work() -> None: ...

    shop.celery.conf.timezone = "Asia/Tokyo"
    noon = work.apply_async(eta=datetime(2030, 1, 1, 12)).job
    assert noon.run_at == datetime(2030, 1, 1, 3, tzinfo=UTC)


def test_without_a_zone_and_without_utc_it_is_the_machines(shop: Shop) -> None:
    @shop.celery.task
    def work() -> None: ...

    shop.celery.conf.enable_utc = False
    noon = work.apply_async(eta=datetime(2030, 1, 1, 12)).job
    assert noon.run_at == datetime(2030, 1, 1, 12).astimezone()


def test_limits_and_lifetimes_are_those_of_the_definition(shop: Shop) -> None:
    shop.celery.conf.task_soft_time_limit = 5

    @shop.celery.task
    def usual() -> None: ...

    @shop.celery.task(soft_time_limit=7, time_limit=9, expires=60, max_retries=2)
    def own() -> None: ...

    definitions = [shop.celery.definition(each) for each in (usual, own)]
    assert [each.timeout for each in definitions] == [5, 7]
    assert [each.process for each in definitions] == [False, True]
    assert [each.expires for each in definitions] == [None, 60]
    assert [each.retries for each in definitions] == [3, 2]


def test_a_task_that_expires_is_revoked(shop: Shop) -> None:
    @shop.celery.task
    def work() -> None: ...

    result = work.apply_async(expires=10)
    shop.bench.clock.advance(11)
    shop.run()
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get()


def test_a_result_that_is_ignored_is_none(shop: Shop) -> None:
    @shop.celery.task(ignore_result=True)
    def work() -> int:
        return 5

    result = work.delay()
    shop.run()
    assert (result.state, result.get()) == ("SUCCESS", None)


def test_a_result_is_waited_for_no_longer_than_said(shop: Shop) -> None:
    @shop.celery.task
    def work() -> None: ...

    with pytest.raises(TimeoutError, match="is still queued after 0"):
        work.delay().get(timeout=0)


def test_a_task_may_not_wait_for_another(shop: Shop) -> None:
    @shop.celery.task
    def inner() -> int:
        return 1

    @shop.celery.task
    def outer() -> Any:
        return inner.delay().get(timeout=0)

    result = outer.delay()
    shop.run()
    assert result.state == "FAILURE"
    with pytest.raises(RuntimeError, match="Return the other's id"):
        result.get()


def test_a_task_may_wait_for_another_where_it_is_allowed(shop: Shop) -> None:
    @shop.celery.task
    def inner() -> int:
        return 1

    @shop.celery.task
    def outer(way: str) -> Any:
        if way == "argument":
            return inner.delay().get(timeout=0, disable_sync_subtasks=False)
        with allow_join_result():
            return inner.delay().get(timeout=0)

    results = [outer.delay("argument"), outer.delay("context")]
    shop.run()
    for result in results:
        with pytest.raises(Exception, match="is still queued after 0"):
            result.get()


def test_names_are_made_by_the_celery_object(tmp_path: Path) -> None:
    class Short(Celery):
        def gen_task_name(self, name: str, module: str) -> str:
            return f"short.{name}"

    with shop_in(tmp_path, celery_cls=Short) as shop:

        @shop.celery.task
        def work() -> None: ...

        assert work.name == "short.work"
        assert work.delay().name == "short.work"


# States of a task's own


def test_any_state_and_meta_can_be_told(shop: Shop) -> None:
    seen: list[Any] = []

    @shop.celery.task(bind=True)
    def work(self: Any) -> str:
        self.update_state(state="PACKING", meta={"current": 2, "total": 8, "status": "Packing"})
        raise self.retry(countdown=60)

    @shop.celery.task(bind=True)
    def watched(self: Any) -> str:
        self.update_state(state="PROGRESS", meta=["anything", 1])
        shop.bench._installation.store.turn(None, reports=[_news()])
        seen.append((self.AsyncResult(self.request.id).state, result.info, result.ready()))
        return "over"

    result = watched.delay()
    shop.run()
    assert seen == [("PROGRESS", ["anything", 1], False)]
    assert (result.state, result.info) == ("SUCCESS", "over")
    bar = work.delay()
    shop.run()
    progress = bar.job.progress
    assert (progress.current, progress.total, progress.message) == (2, 8, "Packing")


def _news() -> Any:
    """What the running job has to report, as the worker's loop would ask for it."""
    report = RUNNING.get().news()
    assert report is not None
    return report


def test_meta_that_would_be_read_as_another_is_refused(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def work(self: Any) -> None:
        self.update_state(state="PROGRESS", meta={"when": date(2026, 1, 2)})

    result = work.delay()
    shop.run()
    with pytest.raises(
        ArgumentError, match=r"cannot take meta\['when'\]=datetime.date\(2026, 1, 2\)"
    ):
        result.get()


def test_a_task_tells_only_its_own_state(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def work(self: Any) -> None:
        self.update_state(task_id="another", state="PROGRESS")

    result = work.delay()
    shop.run()
    with pytest.raises(NotSupported, match="a task tells only its own state"):
        result.get()


@pytest.mark.parametrize(
    ("setting", "option", "expected"),
    [(False, None, "PENDING"), (True, None, "STARTED"), (False, True, "STARTED")],
)
def test_started_is_told_only_where_it_is_wished(
    tmp_path: Path, setting: bool, option: bool | None, expected: str
) -> None:
    with shop_in(tmp_path, task_track_started=setting) as shop:

        @shop.celery.task(bind=True, track_started=option)
        def work(self: Any) -> str:
            return str(self.AsyncResult(self.request.id).state)

        result = work.delay()
        shop.run()
        assert result.get() == expected


def test_ignore_leaves_the_state_as_it_was_told(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def told(self: Any) -> None:
        self.update_state(state="SKIPPED", meta={"why": "closed"})
        raise Ignore

    @shop.celery.task
    def untold() -> None:
        raise Ignore

    results = told.delay(), untold.delay()
    shop.run()
    assert [(each.state, each.info) for each in results] == [
        ("SKIPPED", {"why": "closed"}),
        ("PENDING", None),
    ]
    assert [each.job.state for each in results] == ["succeeded", "succeeded"]


def test_a_failure_told_by_hand_and_ignored_is_a_failure(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def work(self: Any) -> None:
        meta = {"exc_type": "ValueError", "exc_message": ["no stock"], "custom": 1}
        self.update_state(state="FAILURE", meta=meta)
        raise Ignore

    result = work.delay()
    shop.run()
    assert (result.state, repr(result.info)) == ("FAILURE", "ValueError('no stock')")
    assert result.job.state == "failed"


# Failures


def test_a_failure_has_the_exception_and_its_traceback(shop: Shop) -> None:
    @shop.celery.task
    def divide(a: int, b: int) -> float:
        return a / b

    result = divide.delay(1, 0)
    shop.run()
    assert (result.state, repr(result.info)) == (
        "FAILURE",
        "ZeroDivisionError('division by zero')",
    )
    assert "ZeroDivisionError: division by zero" in str(result.traceback)
    assert (result.ready(), result.successful(), result.failed()) == (True, False, True)
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        result.get()
    assert isinstance(result.get(propagate=False), ZeroDivisionError)


def test_what_a_task_told_last_goes_on_to_stand_until_its_failure_is_recorded(
    shop: Shop,
) -> None:
    seen: list[Any] = []

    class Watched(Task):
        def on_failure(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> None:
            shop.bench._installation.store.turn(None, reports=[_news()])
            seen.append(self.AsyncResult(task_id).state)

    @shop.celery.task(bind=True, base=Watched)
    def work(self: Any, tells: bool) -> None:
        if tells:
            self.update_state(state="PROGRESS", meta={"current": 1})
        raise OutOfStock("bolts")

    results = [work.delay(tells) for tells in (True, False)]
    shop.run()
    assert seen == ["PROGRESS", "PENDING"]
    assert [each.state for each in results] == ["FAILURE", "FAILURE"]


def test_an_exception_of_the_apps_own_comes_back_with_its_arguments(shop: Shop) -> None:
    @shop.celery.task
    def work() -> None:
        raise OutOfStock("bolts", 3, date(2026, 1, 2))

    result = work.delay()
    shop.run()
    with pytest.raises(OutOfStock) as error:
        result.get()
    assert error.value.args == ("bolts", 3, "2026-01-02")


def test_an_exception_that_no_module_has_comes_back_by_its_name(shop: Shop) -> None:
    class Hidden(Exception):
        pass

    @shop.celery.task
    def work() -> None:
        raise Hidden("inside")

    result = work.delay()
    shop.run()
    assert (type(result.info).__name__, str(result.info)) == ("Hidden", "inside")


def test_what_ended_a_job_does_not_end_who_asks(shop: Shop) -> None:
    @shop.celery.task
    def work() -> None:
        raise SystemExit(3)

    result = work.delay()
    shop.run()
    assert result.state == "FAILURE"
    assert isinstance(result.info, Exception)
    assert type(result.info).__name__ == "SystemExit"


# Retries


def test_a_retry_keeps_its_reason_and_waits(shop: Shop) -> None:
    @shop.celery.task(bind=True, max_retries=5)
    def work(self: Any) -> int:
        if self.request.retries < 2:
            raise self.retry(exc=OutOfStock("bolts"), countdown=30)
        return int(self.request.retries)

    result = work.delay()
    shop.run()
    assert (result.state, repr(result.info)) == ("RETRY", "OutOfStock('bolts')")
    assert "OutOfStock: bolts" in str(result.traceback)
    shop.bench.clock.advance(29)
    shop.run()
    assert result.retries == 1
    for _ in range(2):
        shop.bench.clock.advance(30)
        shop.run()
    assert (result.state, result.get(), result.retries) == ("SUCCESS", 2, 2)


def test_a_task_waits_three_minutes_and_is_tried_four_times_if_nobody_says_otherwise(
    shop: Shop,
) -> None:
    tries: list[int] = []

    @shop.celery.task(bind=True)
    def work(self: Any) -> None:
        tries.append(self.request.retries)
        try:
            raise OutOfStock("bolts")
        except OutOfStock as error:
            raise self.retry(exc=error) from None

    result = work.delay()
    for expected in (1, 2, 3, 4):
        shop.run()
        assert len(tries) == expected
        shop.bench.clock.advance(179)
        shop.run()
        assert len(tries) == expected
        shop.bench.clock.advance(1)
    assert tries == [0, 1, 2, 3]
    with pytest.raises(OutOfStock, match="bolts"):
        result.get()


def test_a_call_may_allow_more_retries_or_fewer(shop: Shop) -> None:
    tries: list[int] = []

    @shop.celery.task(bind=True, max_retries=1)
    def work(self: Any, most: int) -> None:
        tries.append(most)
        raise self.retry(max_retries=most, countdown=0)

    results = [work.delay(most) for most in (0, 4)]
    shop.run()
    assert (tries.count(0), tries.count(4)) == (1, 5)
    for result in results:
        with pytest.raises(MaxRetriesExceededError, match="has been tried again"):
            result.get()


def test_a_task_may_be_tried_again_without_end(shop: Shop) -> None:
    @shop.celery.task(bind=True, max_retries=None, default_retry_delay=0)
    def work(self: Any) -> int:
        if self.request.retries < 20:
            raise self.retry()
        return int(self.request.retries)

    result = work.delay()
    shop.run()
    assert result.get() == 20


def test_another_try_is_the_same_job(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def work(self: Any, a: int) -> None:
        raise self.retry(args=(a + 1,))

    result = work.delay(1)
    shop.run()
    with pytest.raises(NotSupported, match=r"retry\(args\): another try is the same job"):
        result.get()


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({"retry_backoff": True, "retry_jitter": False}, [1, 2, 4]),
        ({"retry_backoff": 5, "retry_jitter": False}, [5, 10, 20]),
        ({"retry_backoff": 5, "retry_backoff_max": 8, "retry_jitter": False}, [5, 8, 8]),
        ({"retry_kwargs": {"max_retries": 3, "countdown": 7}}, [7, 7, 7]),
        ({"default_retry_delay": 9}, [9, 9, 9]),
    ],
    ids=["doubling", "by five", "bounded", "fixed", "default"],
)
def test_autoretry_waits_as_the_options_say(
    shop: Shop, options: dict[str, Any], waits: list[float]
) -> None:
    @shop.celery.task(autoretry_for=(OutOfStock,), **options)
    def work() -> None:
        raise OutOfStock("bolts")

    result = work.delay()
    waited = []
    for _ in range(3):
        shop.run()
        now = shop.bench.clock.now()
        waited.append(round(result.job.run_at.timestamp() - now, 3))
        shop.bench.clock.advance(waited[-1])
    shop.run()
    assert waited == waits
    assert (result.state, repr(result.info)) == ("FAILURE", "OutOfStock('bolts')")


def test_autoretry_with_jitter_waits_no_longer_than_without(shop: Shop) -> None:
    @shop.celery.task(autoretry_for=OutOfStock, retry_backoff=1000, retry_backoff_max=1000)
    def work() -> None:
        raise OutOfStock("bolts")

    results = [work.delay() for _ in range(20)]
    shop.run()
    now = shop.bench.clock.now()
    waits = {round(each.job.run_at.timestamp() - now) for each in results}
    assert min(waits) >= 0
    assert max(waits) <= 1000
    assert len(waits) > 5


def test_autoretry_is_for_the_named_errors_only(shop: Shop) -> None:
    @shop.celery.task(autoretry_for=(Exception,), dont_autoretry_for=(KeyError,))
    def work() -> None:
        raise KeyError("bolts")

    result = work.delay()
    shop.run()
    assert result.state == "FAILURE"


# Revoking and forgetting


def test_a_revoked_task_never_starts(shop: Shop) -> None:
    ran: list[int] = []

    @shop.celery.task
    def work(number: int) -> None:
        ran.append(number)

    results = [work.delay(number) for number in range(4)]
    results[0].revoke()
    shop.celery.control.revoke(results[1].id, terminate=True)
    shop.celery.control.revoke([results[2].id, "nobody"])
    AsyncResult("nobody").revoke()
    shop.run()
    assert ran == [3]
    assert [each.state for each in results] == ["REVOKED"] * 3 + ["SUCCESS"]
    with pytest.raises(TaskRevokedError, match="revoked"):
        results[0].get()


def test_a_forgotten_task_is_pending_again(shop: Shop) -> None:
    @shop.celery.task
    def work() -> None:
        current_job.attach(b"content", "kept.txt")

    result = work.apply_async(task_id="mine")
    job = result.job
    files = shop.bench._installation.files
    with pytest.raises(JobNotDone):
        result.forget()
    shop.run()
    assert files.path(job.id, "kept.txt").exists()
    result.forget()
    result.forget()
    assert not files.path(job.id, "kept.txt").exists()
    assert (result.state, result.info, result.exists()) == ("PENDING", None, False)
    with pytest.raises(JobForgotten):
        shop.tasks.job(job.id)


# Classes


def test_a_class_of_ones_own_is_called_around_every_task(shop: Shop) -> None:
    calls: list[str] = []

    class Noted(Task):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            calls.append(str(self.name))
            return super().__call__(*args, **kwargs)

    shop.celery.Task = Noted

    @shop.celery.task
    def late() -> int:
        return 2

    @shop.celery.task(base=Task)
    def plain() -> int:
        return 3

    results = [late.delay(), plain.delay()]
    shop.run()
    assert [each.get() for each in results] == [2, 3]
    assert late() == 2
    assert [name.rpartition(".")[2] for name in calls] == ["late", "late"]


def test_a_task_class_may_be_named_by_text(tmp_path: Path) -> None:
    with shop_in(tmp_path, task_cls="support.celery_shop:LoudTask") as shop:

        @shop.celery.task
        def work() -> str:
            return "quiet"

        assert work() == "QUIET"


def test_handlers_and_options_of_a_class_are_those_of_its_tasks(shop: Shop) -> None:
    heard: list[Any] = []

    class Handled(Task):
        abstract = True
        autoretry_for = (OutOfStock,)
        retry_kwargs = {"max_retries": 1, "countdown": 0}  # noqa: RUF012  # as Celery has it
        database = "sqlite"

        def before_start(self, task_id: Any, args: Any, kwargs: Any) -> None:
            heard.append(("before", args, kwargs))

        def on_success(self, retval: Any, task_id: Any, args: Any, kwargs: Any) -> None:
            heard.append(("success", retval))

        def on_failure(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> None:
            heard.append(("failure", repr(exc), repr(exc) in repr(einfo.exception)))

        def on_retry(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> None:
            heard.append(("retry", repr(exc), "OutOfStock: bolts" in str(einfo)))

        def after_return(
            self, status: Any, retval: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any
        ) -> None:
            heard.append(("after", status))

    @shop.celery.task(bind=True, base=Handled, flavour="sour")
    def work(self: Any, good: bool) -> Any:
        if good:
            return [self.database, self.flavour]
        raise OutOfStock("bolts")

    work.delay(True)
    shop.run()
    assert heard == [
        ("before", [True], {}),
        ("success", ["sqlite", "sour"]),
        ("after", "SUCCESS"),
    ]
    heard.clear()
    work.delay(good=False)
    shop.run()
    bolts = "OutOfStock('bolts')"
    assert heard == [
        ("before", [], {"good": False}),
        ("retry", bolts, True),
        ("before", [], {"good": False}),
        ("failure", bolts, True),
        ("after", "FAILURE"),
    ]


def test_a_class_with_a_run_of_its_own_can_be_registered(shop: Shop) -> None:
    class Adds(Task):
        name = "shop.adds"

        def run(self, a: int, b: int) -> int:
            return a + b

    adds = shop.celery.register_task(Adds())
    result = adds.delay(1, 2)
    shop.run()
    assert (result.get(), result.name) == (3, "shop.adds")
    with pytest.raises(CallError, match="the argument 'b' is missing"):
        adds.delay(1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda: None, "A lambda cannot be a task"),
        (print, "only a function defined with `def` can"),
        (OutOfStock, "only a function defined with `def` can"),
    ],
    ids=["lambda", "builtin", "class"],
)
def test_what_is_no_function_cannot_be_a_task(shop: Shop, function: Any, reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason):
        shop.celery.task(function)


def test_async_and_generator_functions_cannot_be_tasks(shop: Shop) -> None:
    async def waits() -> None: ...

    def yields() -> Iterator[int]:
        yield 1

    with pytest.raises(DefinitionError, match=r"Use @tasks\.task of Flask-Backburner"):
        shop.celery.task(waits)
    with pytest.raises(DefinitionError, match="is a generator and cannot be a task"):
        shop.celery.task(yields)


# Here and now


def test_apply_runs_here_and_now_through_json(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def work(self: Any, items: list[int]) -> Any:
        items.append(4)
        return [self.request.is_eager, self.request.called_directly, items]

    items = [1]
    result = work.apply((items,))
    assert (result.state, result.get(), result.ready()) == ("SUCCESS", [True, False, [1, 4]], True)
    assert items == [1]
    assert shop.tasks.jobs() == []


def test_apply_tries_again_at_once(shop: Shop) -> None:
    @shop.celery.task(bind=True, autoretry_for=(OutOfStock,), retry_kwargs={"max_retries": 3})
    def work(self: Any, failures: int) -> int:
        if self.request.retries < failures:
            raise OutOfStock("bolts")
        return int(self.request.retries)

    assert work.apply((3,)).get() == 3
    failed = work.apply((4,))
    assert (failed.state, repr(failed.result), failed.failed()) == (
        "FAILURE",
        "OutOfStock('bolts')",
        True,
    )
    assert "OutOfStock: bolts" in str(failed.traceback)
    with pytest.raises(OutOfStock):
        failed.get()
    with pytest.raises(OutOfStock):
        work.apply((4,), throw=True)


def test_always_eager_makes_delay_run_here_and_now(tmp_path: Path) -> None:
    with shop_in(tmp_path, CELERY_TASK_ALWAYS_EAGER=True, task_eager_propagates=True) as shop:

        @shop.celery.task
        def divide(a: int, b: int) -> float:
            return a / b

        assert divide.delay(6, 3).get() == 2.0
        with pytest.raises(ZeroDivisionError):
            divide.delay(1, 0)
        with pytest.raises(NotSupported, match=r"apply_async\(link=…\)"):
            divide.apply_async((1, 1), link=divide)


def test_a_task_run_within_another_reports_for_itself(shop: Shop) -> None:
    @shop.celery.task(bind=True)
    def inner(self: Any) -> Any:
        self.update_state(state="INNER", meta={})
        return [self.request.id, self.request.called_directly]

    @shop.celery.task(bind=True)
    def outer(self: Any) -> Any:
        self.update_state(state="OUTER", meta={})
        direct, eager = inner(), inner.apply().get()
        return [direct, eager[1], self.request.told.state, current_task.name]

    result = outer.delay()
    shop.run()
    assert result.get() == [[None, True], False, "OUTER", f"{__name__}.outer"]
