"""A stand-in for the extension's routes: one job that says what the test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, abort, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug import Response
from werkzeug.serving import make_server

from support.streaming import Streams
from support.waiting import until

WEB = Path(__file__).resolve().parents[2] / "src" / "flask_backburner" / "web"
SCRIPT = "/jobs/static/backburner.js"
STYLE = "/jobs/static/backburner.css"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'"
)
JOB = "/jobs/1aB2cD3eF4gH5iJ6kL7mN8"
BARE = f'<job-progress src="{JOB}" label="Export"></job-progress>'


class Stage:
    """A server of one job whose document, log and failures the test sets."""

    def __init__(self) -> None:
        self.url = ""
        self.body = BARE
        self.job = document()
        self.others: dict[str, dict[str, Any]] = {}
        self.gone: set[str] = set()
        self.streams = Streams()
        self.lines: list[dict[str, Any]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.open = threading.Event()
        self.open.set()
        self.asked: list[int] = []
        self.answered: list[int] = []
        self.cancels: list[dict[str, Any]] = []
        self.cancel_status = 202

    def set(self, **changes: Any) -> None:
        """Change the document, as a task's report would."""
        version = changes.pop("version", self.job["version"] + 1)
        progress = {**self.job["progress"], **changes.pop("progress", {})}
        self.job = {**self.job, **changes, "progress": progress, "version": version}

    def find(self, id: str) -> dict[str, Any] | None:
        """The document of this id, naming its stream if there are streams."""
        if id in self.gone:
            return None
        job = deepcopy(self.others.get(id, self.job))
        if self.streams.offered:
            job["links"]["events"] = f"{job['links']['self']}/events"
        return job

    def add(self, number: int) -> None:
        """Put so many other jobs on the stage, named 0, 1, …, and a bar for each on its page."""
        for id in map(str, range(number)):
            own = f"/jobs/{id}"
            links = {"self": own, "log": f"{own}/log", "cancel": f"{own}/cancel"}
            self.others[id] = document(id=id, links=links)
        self.body = "".join(f'<job-progress src="/jobs/{id}"></job-progress>' for id in self.others)

    def set_other(self, id: str, **changes: Any) -> None:
        """Change one of the others."""
        job = self.others[id]
        progress = {**job["progress"], **changes.pop("progress", {})}
        version = job["version"] + 1
        self.others[id] = {**job, **changes, "progress": progress, "version": version}

    def finish(self, state: str, **changes: Any) -> None:
        """Bring the job to its end."""
        self.set(state=state, done=True, poll_after=None, **changes)

    def read_again(self) -> None:
        """Wait until a request that began from now on has been answered."""
        before = len(self.asked)
        until(lambda: len(self.answered) > before + 1, what="another read of the job")

    def say(self, text: str, level: str = "info") -> None:
        """Add a line to the log."""
        number = len(self.lines) + 1
        at = f"2026-11-20T09:00:{number % 60:02}.000Z"
        self.lines.append({"id": number, "at": at, "level": level, "text": text})


@contextmanager
def lit_stage() -> Iterator[Stage]:
    """A stage that is served, until the end of the block."""
    stage = Stage()
    server = make_server("127.0.0.1", 0, application(stage), threaded=True)
    stage.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield stage
    stage.open.set()
    stage.streams.close()
    server.shutdown()
    thread.join()
    server.server_close()


def document(**changes: Any) -> dict[str, Any]:
    """A job document, running and without a report unless told otherwise."""
    progress = dict.fromkeys(
        ["current", "total", "fraction", "message", "phase", "remaining"],
    )
    return {
        "id": JOB.rpartition("/")[2],
        "task": "exports:export",
        "state": "running",
        "done": False,
        "version": 1,
        "queue": "default",
        "attempt": 1,
        "retries_left": 0,
        "crashes": 0,
        "created_at": "2026-11-20T09:00:00.123Z",
        "run_at": "2026-11-20T09:00:00.123Z",
        "started_at": None,
        "finished_at": None,
        "updated_at": "2026-11-20T09:00:00.123Z",
        "start_by": None,
        "kept_until": None,
        "cancel_requested": False,
        "overdue": False,
        "waiting": None,
        "error": None,
        "files": [],
        "poll_after": 0.05,
        "links": {"self": JOB, "log": f"{JOB}/log", "cancel": f"{JOB}/cancel"},
        **changes,
        "progress": {**progress, **changes.get("progress", {})},
    }


def application(stage: Stage) -> Flask:
    """The routes, all under the strict policy."""
    app = Flask(__name__)
    app.register_blueprint(_jobs(stage))
    app.add_url_rule("/favicon.ico", view_func=lambda: ("", 204))

    @app.get("/")
    def page() -> str:
        head = f'<script type="module" src="{SCRIPT}"></script><link rel=stylesheet href="{STYLE}">'
        return f"<!doctype html><meta charset=utf-8><title>Test</title>{head}{stage.body}"

    @app.get("/others")
    def others() -> str:
        bar = "backburner/progress.html"
        return "".join(render_template(bar, job=job, label=None) for job in stage.others.values())

    @app.get("/say")
    def say() -> str:
        stage.say("Said by the page")
        return ""

    @app.get("/problem")
    def problem() -> str:
        return render_template("backburner/problem.html", problem=PROBLEM, style_url=STYLE)

    @app.after_request
    def forbid(response: Any) -> Any:
        response.headers["Content-Security-Policy"] = POLICY
        return response

    return app


PROBLEM = {
    "type": "https://example.org/problems#unknown",
    "title": "There is no such job",
    "status": 404,
    "detail": "It may have been started by somebody else.",
}


def _jobs(stage: Stage) -> Blueprint:
    jobs = Blueprint(
        "backburner",
        __name__,
        url_prefix="/jobs",
        template_folder=str(WEB / "templates"),
        static_folder=str(WEB / "static"),
        static_url_path="/static",
    )

    @jobs.get("/<id>")
    def show(id: str) -> ResponseReturnValue:
        return _page(stage) if _wants_page() else _document(stage, id)

    @jobs.get("/events")
    def events() -> Response:
        return stage.streams.answer(stage, request.args["ids"].split(","), logs=False)

    @jobs.get("/<id>/events")
    def job_events(id: str) -> Response:
        return stage.streams.answer(stage, [id], logs=True)

    @jobs.get("/<id>/log")
    def log(id: str) -> ResponseReturnValue:
        after = int(request.args["after"])
        lines = stage.lines[after:]
        return jsonify(lines=lines, next=lines[-1]["id"] if lines else after)

    @jobs.post("/<id>/cancel")
    def cancel(id: str) -> ResponseReturnValue:
        stage.cancels.append({**request.headers, **request.form})
        if stage.cancel_status >= 400:
            abort(stage.cancel_status)
        stage.set(cancel_requested=True)
        return redirect(JOB, 303) if _wants_page() else (jsonify(stage.job), stage.cancel_status)

    return jobs


def _wants_page() -> bool:
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _document(stage: Stage, id: str) -> Response:
    job = stage.find(id)
    if job is None:
        return Response(status=404 if stage.status == 200 else stage.status)
    stage.asked.append(job["version"])
    stage.open.wait()
    good = stage.status == 200
    answer = jsonify(job) if good else Response(status=stage.status)
    answer.headers.update(stage.headers)
    answer.set_etag(str(job["version"]), weak=True)
    stage.answered.append(job["version"])
    return answer.make_conditional(request) if good else answer


def _page(stage: Stage) -> str:
    return render_template(
        "backburner/job.html",
        job=stage.find(stage.job["id"]),
        log=stage.lines[-200:],
        result_text=None,
        script_url=SCRIPT,
        style_url=STYLE,
        refresh_after=None if stage.job["done"] else 60,
        csrf_token="a-token",
        nonce=None,
    )
