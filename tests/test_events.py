"""Live streams: what they tell, in which order, and how a client that comes again goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from apps import theatre
from flask import has_app_context, request
from werkzeug.test import TestResponse

from flask_backburner.external import ExternalJob
from flask_backburner.installation import Installation
from flask_backburner.store import diagnosis
from flask_backburner.web import stream as module
from support.apps import Site, site_in
from support.servers import Servers
from support.streams import Event, events, opened
from support.waiting import until

UNKNOWN = "0" * 22


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path, BACKBURNER_MAX_STREAMS=5) as site, site.app.app_context():
        yield site


@pytest.fixture
def work(site: Site) -> ExternalJob:
    """A job that runs, and goes on as the test says."""
    work = site.tasks.external("transcode")
    work.start()
    return work


def installation(site: Site) -> Installation:
    return site.tasks.installation(site.app)


def asked(site: Site, path: str, last: str | None = None) -> TestResponse:
    headers = {"Last-Event-ID": last} if last else {}
    return site.client.get(f"/jobs/{path}", headers=headers, buffered=False)


@contextmanager
def watching(site: Site, path: str, last: str | None = None) -> Iterator[Iterator[Event]]:
    """A stream, read no further than the test goes; hangs up at the end."""
    answer = asked(site, path, last)
    assert answer.status_code == 200
    try:
        yield (event for event in events(answer.response) if event.name != "retry")  # type: ignore[arg-type]  # bytes, as nothing is encoded
    finally:
        answer.close()


def whole(site: Site, path: str, last: str | None = None) -> list[Event]:
    """All events of a stream that ends by itself."""
    with watching(site, path, last) as stream:
        return list(stream)


def short(event: Event) -> tuple[str, str | None]:
    return (event.name, event.id)


def texts(stream: list[Event]) -> list[str]:
    return [event.data["text"] for event in stream if event.name == "log"]


def test_a_stream_begins_with_the_job_as_it_is(site: Site, work: ExternalJob) -> None:
    work.progress(1, 4, "Loading")
    work.log("began")
    with watching(site, f"{work.id}/events") as stream:
        first = next(stream)
    assert short(first) == ("job", f"{work.job.version}.1")
    document = site.client.get(f"/jobs/{work.id}").json
    assert document is not None
    assert first.data == document
    assert first.data["links"]["self"] == f"/jobs/{work.id}"


def test_the_headers_keep_proxies_from_holding_a_stream_back(site: Site, work: ExternalJob) -> None:
    answer = asked(site, f"{work.id}/events")
    answer.close()
    assert dict(answer.headers) == {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
    }


def test_a_change_comes_by_itself_and_the_end_ends_the_stream(
    site: Site, work: ExternalJob
) -> None:
    with watching(site, f"{work.id}/events") as stream:
        next(stream)
        work.progress(1, 2)
        change = next(stream)
        work.succeed({"rows": 3})
        end, done = stream
    assert (change.name, change.data["progress"]["fraction"]) == ("job", 0.5)
    assert (end.data["state"], end.data["result"]) == ("succeeded", {"rows": 3})
    assert (done.name, done.data) == ("done", {})


def test_a_burst_of_changes_comes_as_a_few_and_the_last_is_told(
    site: Site, work: ExternalJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHORTEST_LIFE", 600.0)
    monkeypatch.setattr(module, "LONGEST_LIFE", 600.0)
    began = time.monotonic()
    with watching(site, f"{work.id}/events") as stream:
        next(stream)
        work.progress(0, 200)
        assert next(stream).data["progress"]["current"] == 0
        for step in range(1, 201):
            work.progress(step)
        changes = []
        for event in stream:
            changes.append(event.data["progress"]["current"])
            if changes[-1] == 200:
                break
    seconds = time.monotonic() - began
    assert changes[-1] == 200
    assert len(changes) <= 2 + 4 * seconds


def test_a_burst_is_told_at_most_four_times_a_second(
    site: Site, work: ExternalJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BURST_INTERVAL", 1000.0)
    with watching(site, f"{work.id}/events") as stream:
        next(stream)
        work.progress(1, 3)
        next(stream)
        work.progress(2)
        work.progress(3)
        work.succeed()
        end = next(stream)
    assert (end.data["state"], end.data["progress"]["current"]) == ("succeeded", 3)


def test_log_lines_come_once_each_and_before_the_end(site: Site, work: ExternalJob) -> None:
    work.log("before")
    with watching(site, f"{work.id}/events") as stream:
        next(stream)
        work.log("one")
        first = next(stream)
        work.log("two")
        work.succeed()
        rest = list(stream)
    version = work.job.version
    assert (first.data["text"], first.id) == ("one", f"{version - 1}.2")
    assert [short(event) for event in rest] == [
        ("log", f"{version - 1}.3"),
        ("job", f"{version}.3"),
        ("done", None),
    ]


def test_a_cut_stream_goes_on_without_a_lost_or_repeated_line(
    site: Site, work: ExternalJob
) -> None:
    seen: list[Event] = []
    with watching(site, f"{work.id}/events") as stream:
        seen.append(next(stream))
        for number in range(1000):
            work.log(f"line {number}")
        seen += [next(stream) for _ in range(250)]
    work.log("while nobody looked")
    work.succeed()
    assert seen[-1].id == f"{work.job.version - 1}.250"
    rest = whole(site, f"{work.id}/events", last=seen[-1].id)
    assert short(rest[0]) == ("job", f"{work.job.version}.250")
    assert texts(seen + rest) == [f"line {n}" for n in range(1000)] + ["while nobody looked"]


def test_a_cut_right_after_the_end_loses_no_line(site: Site, work: ExternalJob) -> None:
    work.log("one")
    work.succeed()
    with watching(site, f"{work.id}/events", last="1.0") as stream:
        end = next(stream)
    rest = whole(site, f"{work.id}/events", last=end.id)
    assert texts([end, *rest]) == ["one"]


def test_who_has_all_there_will_ever_be_is_told_to_stop(site: Site, work: ExternalJob) -> None:
    work.log("one")
    work.succeed()
    *_, end, _ = whole(site, f"{work.id}/events")
    answer = asked(site, f"{work.id}/events", last=end.id)
    assert (answer.status_code, answer.data) == (204, b"")
    assert end.id == f"{work.job.version}.1"


@pytest.mark.parametrize("last", ["nonsense", "-1.0", "99999.7", "1", "1.2.3", "9" * 40 + ".1"])
def test_a_last_id_of_no_sense_begins_anew(site: Site, work: ExternalJob, last: str) -> None:
    work.log("one")
    work.succeed()
    first, done = whole(site, f"{work.id}/events", last=last)
    assert (short(first), done.name) == (("job", f"{work.job.version}.1"), "done")


def test_a_stream_ends_before_long_and_says_to_come_back_at_once(
    site: Site, work: ExternalJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.LONGEST_LIFE == 20.0
    monkeypatch.setattr(module, "SHORTEST_LIFE", 0.1)
    monkeypatch.setattr(module, "LONGEST_LIFE", 0.1)
    answer = asked(site, f"{work.id}/events")
    names = [(event.name, event.retry) for event in events(answer.response)]  # type: ignore[arg-type]  # bytes, as nothing is encoded
    assert names == [("retry", 1000), ("job", None), ("retry", 100)]


def test_a_silent_stream_says_that_it_is_alive(
    site: Site, work: ExternalJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.SILENCE == 10.0
    monkeypatch.setattr(module, "SILENCE", 0.02)
    with watching(site, f"{work.id}/events") as stream:
        next(stream)
        assert [next(stream).name, next(stream).name] == ["comment", "comment"]


def nothing() -> None:
    """A task that is never run."""


def test_a_change_of_the_place_in_line_is_told_without_a_version(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DIAGNOSIS_INTERVAL", 0.02)
    monkeypatch.setattr(diagnosis, "PATIENCE_FOR_WORKER", 1000.0)
    job = site.tasks.task(name="late")(nothing).delay()
    before = site.tasks.task(name="first", priority=9)(nothing)
    with watching(site, f"{job.id}/events") as stream:
        first = next(stream)
        before.delay()
        second = next(stream)
    assert [first.data["waiting"]["position"], second.data["waiting"]["position"]] == [1, 2]
    assert first.id == second.id == "1.0"


def test_an_unknown_job_has_no_stream(site: Site) -> None:
    assert asked(site, f"{UNKNOWN}/events").status_code == 404


def test_a_job_that_is_forgotten_while_it_is_watched_is_gone(site: Site, work: ExternalJob) -> None:
    with watching(site, f"{work.id}/events") as stream:
        next(stream)
        work.progress(1, 2)
        forget(site, work)
        *_, gone, done = stream
    assert (gone.name, gone.data, done.name) == ("gone", {"id": work.id}, "done")
    assert asked(site, f"{work.id}/events").status_code == 410


def forget(site: Site, work: ExternalJob) -> None:
    work.succeed()
    site.tasks.purge(0)
    assert site.client.get(f"/jobs/{work.id}").status_code == 410


# Many jobs in one stream


def test_many_jobs_share_a_stream_that_ends_with_the_last(site: Site) -> None:
    one, two = site.tasks.external("one"), site.tasks.external("two")
    with watching(site, f"events?ids={one.id},{two.id}") as stream:
        assert [short(next(stream)), short(next(stream))] == [("job", "1,0"), ("job", "1,1")]
        two.log("not told")
        two.succeed(2)
        change = next(stream)
        one.succeed(1)
        end, done = stream
    assert (change.data["id"], change.id) == (two.id, f"1,{two.job.version}")
    assert (end.data["id"], end.id) == (one.id, f"{one.job.version},{two.job.version}")
    assert done.name == "done"


def test_a_cut_stream_of_many_tells_again_only_what_goes_on(site: Site) -> None:
    one, two = site.tasks.external("one"), site.tasks.external("two")
    two.succeed()
    path, last = f"events?ids={one.id},{two.id}", f"1,{two.job.version}"
    with watching(site, path, last) as stream:
        assert short(next(stream)) == ("job", last)
        one.succeed()
        assert [event.name for event in stream] == ["job", "done"]
    assert asked(site, path, f"{one.job.version},{two.job.version}").status_code == 204


def test_the_unknown_and_the_foreign_are_gone_and_the_others_go_on(site: Site) -> None:
    site.tasks.owner_loader(lambda: request.headers.get("User", "me"))
    mine = site.tasks.external("mine", owner="me")
    hers = site.tasks.external("hers", owner="she")
    path = f"events?ids={UNKNOWN},{mine.id},{hers.id}"
    with watching(site, path) as stream:
        told = [next(stream) for _ in range(3)]
        hers.progress(1, 2)
        mine.succeed()
        end, _ = stream
    assert [(event.name, event.data["id"]) for event in told] == [
        ("gone", UNKNOWN),
        ("job", mine.id),
        ("gone", hers.id),
    ]
    assert end.id == f"-,{mine.job.version},-"
    assert asked(site, path, last=end.id).status_code == 204
    assert asked(site, f"{hers.id}/events").status_code == 404


def test_who_may_watch_is_asked_anew_each_time(site: Site) -> None:
    user = ["me"]
    site.tasks.owner_loader(lambda: user[0])
    mine = site.tasks.external("mine", owner="me")
    assert next(asked_events(site, f"{mine.id}/events")).name == "retry"
    user[0] = "she"
    assert asked(site, f"{mine.id}/events", last="1.0").status_code == 404


def asked_events(site: Site, path: str) -> Iterator[Event]:
    return events(asked(site, path).response)  # type: ignore[arg-type]  # bytes, as nothing is encoded


@pytest.mark.parametrize("ids", ["", "abc", f"{UNKNOWN},", ",".join([UNKNOWN] * 101)])
def test_ids_that_are_none_or_too_many_are_refused(site: Site, ids: str) -> None:
    answer = asked(site, f"events?ids={ids}")
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"


def test_a_hundred_jobs_fit_into_a_stream(site: Site) -> None:
    works = [site.tasks.external("one") for _ in range(100)]
    for work in works:
        work.succeed()
    told = whole(site, "events?ids=" + ",".join(work.id for work in works))
    assert [event.data.get("id") for event in told[:-1]] == [work.id for work in works]


# What a stream holds, and what it lets go


def test_a_stream_holds_no_context_and_lets_go_of_all_when_the_client_leaves(
    tmp_path: Path,
) -> None:
    with site_in(tmp_path, BACKBURNER_MAX_STREAMS=1) as site:
        with site.app.app_context():
            work = site.tasks.external("transcode")
        with watching(site, f"{work.id}/events") as stream:
            next(stream)
            assert installation(site).live.budget.held == 1
            assert not has_app_context()
            assert [thread.name for thread in watchers()] == ["backburner-watcher"]
        assert installation(site).live.budget.held == 0
        until(lambda: not watchers(), what="the end of the watcher")


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "watcher" in thread.name]


def test_one_thread_watches_for_all_streams(site: Site, work: ExternalJob) -> None:
    path = f"{work.id}/events"
    with watching(site, path) as one, watching(site, path) as two:
        assert [next(one).name, next(two).name] == ["job", "job"]
        assert len(watchers()) == 1
        work.progress(1, 2)
        assert [next(one).name, next(two).name] == ["job", "job"]


def test_streams_end_when_the_app_is_closed(site: Site, work: ExternalJob) -> None:
    with watching(site, f"{work.id}/events") as stream:
        next(stream)
        site.tasks.close()
        assert list(stream) == []
    assert watchers() == []
    with watching(site, f"{work.id}/events") as stream:
        next(stream)
        work.succeed()
        assert [event.name for event in stream] == ["job", "done"]


def test_a_store_in_trouble_ends_a_stream_without_an_error(
    site: Site, work: ExternalJob, tmp_path: Path
) -> None:
    answer = asked(site, f"{work.id}/events")
    site.tasks.close()
    database = tmp_path / "backburner.db"
    database.rename(tmp_path / "kept")
    database.mkdir()
    assert [event.retry for event in events(answer.response)] == [1000, 5000]  # type: ignore[arg-type]  # bytes, as nothing is encoded
    database.rmdir()


def test_a_head_request_holds_nothing(site: Site, work: ExternalJob) -> None:
    answer = site.client.head(f"/jobs/{work.id}/events")
    assert (answer.status_code, answer.data) == (200, b"")
    assert installation(site).live.budget.held == 0


def test_links_are_those_of_the_request_that_opened_the_stream(
    site: Site, work: ExternalJob
) -> None:
    path = f"/jobs/{work.id}/events"
    answer = site.client.get(path, base_url="http://localhost/shop", buffered=False)
    work.progress(1, 2)
    work.succeed()
    links = {event.data["links"]["self"] for event in events(answer.response) if event.id}  # type: ignore[arg-type]  # bytes, as nothing is encoded
    assert links == {f"/shop/jobs/{work.id}"}


# A real server


def test_over_http_a_change_made_by_another_process_comes_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Servers
) -> None:
    monkeypatch.setenv(theatre.FOLDER, str(tmp_path / "house"))
    served = serve.flask_run(tmp_path, "apps.theatre:app")
    with theatre.opened() as tasks:
        work = tasks.external("play")
        with opened(f"{served.url}/jobs/{work.id}/events") as stream:
            assert [next(stream).name, next(stream).name] == ["retry", "job"]
            work.progress(1, 2)
            assert next(stream).data["progress"]["fraction"] == 0.5
            work.succeed()
            assert [event.name for event in stream] == ["job", "done"]
