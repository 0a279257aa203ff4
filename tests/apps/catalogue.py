"""An app with jobs in every state, for one user, and some of another."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, make_response

from flask_backburner import Backburner, Job, JobError, current_job
from flask_backburner.engine.local.worker import Worker
from flask_backburner.ids import new_id
from flask_backburner.record import Failed, Fault, Retry
from flask_backburner.store.base import Store
from flask_backburner.store.claim import Report, Settlement
from flask_backburner.store.new_job import NewJob

FOLDER = "CATALOGUE"
USER = "ann"

tasks = Backburner()


def create_app(**config: Any) -> Flask:
    """The app, with its store in the folder that the environment names; it runs no jobs."""
    app = Flask("catalogue", instance_path=os.environ[FOLDER])
    app.config.from_mapping(BACKBURNER_WORKER="external", BACKBURNER_MAX_STREAMS=0)
    app.config.from_mapping(BACKBURNER_MAX_WAIT=0.1, **config)
    tasks.init_app(app)
    tasks.owner_loader(lambda: USER)
    app.add_url_rule("/jobs-of-every-kind", "fill", lambda: fill(app), methods=["POST"])
    app.add_url_rule("/view", "view", tasks.background(wait=0)(view), methods=["POST"])
    return app


def view() -> Response:
    """A background view whose answer is stored."""
    response = make_response("not here", 404)
    response.headers["X-Kind"] = "stored"
    return response


@tasks.task
def give(value: Any) -> Any:
    current_job.progress(1, 3, "Giving")
    current_job.log("Given")
    return value


@tasks.task
def give_file(name: str) -> Any:
    return current_job.attach(b"rows\n" * 100, name)


@tasks.task
def fail(words: str, public: bool) -> None:
    raise JobError(words) if public else ValueError(words)


def fill(app: Flask) -> dict[str, str]:
    """Make jobs of every kind; their ids by what they are."""
    with app.app_context():
        over: dict[str, Job[Any]] = {
            "value": give.using(owner=USER).delay({"rows": [1, 2.5, None, "é"]}),
            "null": give.using(owner=USER).delay(None),
            "large": give.using(owner=USER).delay("x" * 20_000),
            "file": give_file.using(owner=USER).delay("a b.txt"),
            "told": fail.using(owner=USER).delay("No rows", True),
            "untold": fail.using(owner=USER).delay("secret", False),
            "foreign": give.using(owner="bob").delay(1),
            "nobodys": give.delay(1),
        }
        Worker(tasks.installation(app), burst=True).run()
        ids = {kind: job.id for kind, job in over.items()}
        return ids | _unfinished() | _mishaps(tasks.installation(app).store)


def _unfinished() -> dict[str, str]:
    running, cancelling, cancelled, lost, silent = (
        tasks.external("transcode", owner=USER, deadline=deadline)
        for deadline in (None, None, None, 0, None)
    )
    running.progress(1, 3, "Packing")
    cancelling.start()
    for job in (cancelling, cancelled):
        job.job.cancel()
    installation = tasks.installation(lost._installation.app)
    installation.store.rescue()
    return {
        "queued": give.using(owner=USER).delay(1).id,
        "scheduled": give.using(owner=USER, countdown=10_000).delay(1).id,
        "running": running.id,
        "cancelling": cancelling.id,
        "cancelled": cancelled.id,
        "lost": lost.id,
        "silent": silent.id,
    }


def _mishaps(store: Store) -> dict[str, str]:
    """What happens to jobs that fail, take too long or come too late."""
    ids = {kind: new_id() for kind in ("retrying", "timed_out", "overdue", "expired", "paused")}
    store.add([_mishap(store, ids[kind], kind) for kind in ids], len(ids) + 100)
    store.pause("paused", True)
    worker = store.join()
    claims = store.turn(worker, room=3, queues=["mishaps"], tasks=["*"]).claimed
    retrying, timed_out, overdue = claims
    store.turn(
        worker,
        settled=[
            Settlement(retrying, Retry(Fault("error", "secret"), 10_000)),
            Settlement(timed_out, Failed(Fault("timeout", "It ran for longer than 2 s."))),
        ],
        reports=[Report(overdue, overdue=True)],
    )
    store.rescue()
    return ids


def _mishap(store: Store, id: str, kind: str) -> NewJob:
    return NewJob(
        id,
        give.name,
        b'{"value":1}',
        queue="paused" if kind == "paused" else "mishaps",
        owner=USER,
        retries=2,
        start_by=store.now() - 1 if kind == "expired" else None,
    )


app = create_app() if FOLDER in os.environ else None
