"""Background views: each kind of view answers the same, quick or later."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import flask_login
import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    flash,
    g,
    get_flashed_messages,
    make_response,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from werkzeug.test import TestResponse

from flask_backburner import (
    Backburner,
    ConfigError,
    DefinitionError,
    JobFailed,
    State,
    current_job,
)
from flask_backburner.record import StoredResponse
from flask_backburner.testing import JobBench, isolated
from support.waiting import until

RESULT = "Backburner-Result"
HTML = {"Accept": "text/html"}


class Site(Flask):
    """A Flask that runs async views without asgiref, as Flask lets apps choose."""

    def async_to_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: asyncio.run(func(*args, **kwargs))


class Hiccup(Exception):
    """The app has a handler for it."""


def make_site(folder: Path, wait: float, **config: Any) -> tuple[Site, Backburner]:
    app = Site("site", instance_path=str(folder / "instance"))
    app.secret_key = "not for production"
    app.config.update({"BACKBURNER_WORKER": "threads", "BACKBURNER_DURABILITY": "normal"})
    app.config.update(config)
    tasks = Backburner(app)
    add_views(app, tasks, wait)
    add_pages(app, tasks, wait)
    return app, tasks


def add_views(app: Flask, tasks: Backburner, wait: float) -> None:
    """Views that say what they were asked."""

    @app.route("/echo/<int:number>", methods=["GET", "POST", "PUT"])
    @tasks.background(wait=wait)
    def echo(number: int) -> dict[str, Any]:
        return {
            "method": request.method,
            "number": number,
            "path": request.path,
            "url": request.url,
            "query": request.args.to_dict(flat=False),
            "form": request.form.to_dict(flat=False),
            "header": request.headers.get("X-Asked"),
            "cookies": dict(request.cookies),
            "address": request.remote_addr,
            "user": request.remote_user,
            "secret": request.environ.get("SECRET"),
            "length": request.content_length,
        }

    @app.post("/json")
    @tasks.background(wait=wait)
    def as_json() -> dict[str, Any]:
        return {"asked": request.get_json()}

    @app.post("/body")
    @tasks.background(wait=wait)
    def body() -> dict[str, Any]:
        digest = hashlib.sha256()
        size = 0
        while chunk := request.stream.read(64 << 10):
            digest.update(chunk)
            size += len(chunk)
        return {"size": size, "digest": digest.hexdigest()}

    @app.post("/files")
    @tasks.background(wait=wait)
    def files() -> dict[str, Any]:
        found = request.files.items(multi=True)
        return {
            "files": [[key, each.filename, each.mimetype, len(each.read())] for key, each in found],
            "title": request.form["title"],
        }


def add_pages(app: Flask, tasks: Backburner, wait: float) -> None:
    """Views with answers of each kind."""

    @app.get("/made")
    @tasks.background(wait=wait)
    def made() -> ResponseReturnValue:
        answer = make_response({"made": True}, "201 Made Just Now")
        answer.headers.add("X-Part", "a")
        answer.headers.add("X-Part", "b")
        answer.set_cookie("taste", "sweet")
        return answer

    @app.get("/nothing")
    @tasks.background(wait=wait)
    def nothing() -> ResponseReturnValue:
        return "", 204

    @app.get("/missing")
    @tasks.background(wait=wait)
    def missing() -> ResponseReturnValue:
        abort(404, "There is no such page here.")

    @app.get("/moved")
    @tasks.background(wait=wait)
    def moved() -> ResponseReturnValue:
        return redirect(request.args["to"])

    @app.get("/hiccup")
    @tasks.background(wait=wait)
    def hiccup() -> ResponseReturnValue:
        raise Hiccup("one")

    @app.errorhandler(Hiccup)
    def on_hiccup(error: Hiccup) -> ResponseReturnValue:
        return f"handled {error} at {request.path}", 418

    @app.get("/broken")
    @tasks.background(wait=wait)
    def broken() -> ResponseReturnValue:
        raise ZeroDivisionError("a secret")

    @app.get("/stream")
    @tasks.background(wait=wait)
    def stream() -> ResponseReturnValue:
        lines = (f"{request.path} {number}\n" for number in range(3))
        return Response(stream_with_context(lines), mimetype="text/plain")

    @app.get("/yielding")
    @tasks.background(wait=wait)
    def yielding() -> Iterator[str]:
        yield "one "
        yield "two"

    @app.get("/file")
    @tasks.background(wait=wait)
    def file() -> ResponseReturnValue:
        return send_file(io.BytesIO(b"0123456789"), "text/plain", download_name="ten.txt")

    @app.get("/tagged")
    @tasks.background(wait=wait)
    def tagged() -> ResponseReturnValue:
        answer = make_response("as before")
        answer.set_etag("one")
        return answer.make_conditional(request)

    @app.get("/flash")
    @tasks.background(wait=wait)
    def flashing() -> ResponseReturnValue:
        flash(f"Hello {session.pop('name', 'you')}")
        session["seen"] = ("a", "tuple")
        return "flashed"

    @app.get("/session")
    def plain_session() -> dict[str, Any]:
        return {"session": dict(session), "flashed": get_flashed_messages()}

    @app.get("/name/<name>")
    def name(name: str) -> str:
        session["name"] = name
        return name

    @app.get("/async")
    @tasks.background(wait=wait)
    async def asynchronous() -> str:
        await asyncio.sleep(0)
        return f"async {current_job.attempt}"


@dataclass
class Asker:
    """Asks a background view and gives back the view's own answer, however it comes."""

    app: Site
    tasks: Backburner
    client: FlaskClient
    bench: JobBench | None = None

    def __call__(self, path: str, method: str = "GET", **options: Any) -> TestResponse:
        answer = self.client.open(path, method=method, **options)
        if self.bench is None:
            return answer
        assert answer.status_code == 202, answer.text
        self.bench.run()
        result = self.client.get(answer.get_json()["links"]["result"])
        assert result.headers.pop(RESULT) == answer.get_json()["id"]
        return result

    def files(self) -> list[str]:
        """What is in the folder of the jobs' files."""
        folder = self.tasks.installation(self.app).files.folder
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Asker]:
    """The answer comes at once."""
    app, tasks = make_site(tmp_path, wait=10)
    yield Asker(app, tasks, app.test_client())
    tasks.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Asker]:
    """The answer is fetched later."""
    app, tasks = make_site(tmp_path, wait=0)
    with isolated(app, tmp_path) as bench:
        yield Asker(app, tasks, app.test_client(), bench)


@pytest.fixture(params=["quick", "slow"])
def ask(request: pytest.FixtureRequest) -> Asker:
    """Both, one after the other: the view's answer is the same."""
    asker = request.getfixturevalue(request.param)
    assert isinstance(asker, Asker)
    return asker


# What arrives


def test_a_request_arrives_as_it_was(ask: Asker) -> None:
    ask.client.set_cookie("mood", "fine")
    answer = ask(
        "/echo/7?a=1&a=2&b=ä",
        headers={"X-Asked": "please"},
        environ_overrides={
            "REMOTE_ADDR": "192.0.2.7",
            "REMOTE_USER": "ada",
            "SECRET": "of the server",
        },
    )
    assert answer.get_json() == {
        "method": "GET",
        "number": 7,
        "path": "/echo/7",
        "url": "http://localhost/echo/7?a=1&a=2&b=ä",
        "query": {"a": ["1", "2"], "b": ["ä"]},
        "form": {},
        "header": "please",
        "cookies": {"mood": "fine"},
        "address": "192.0.2.7",
        "user": "ada",
        "secret": None,
        "length": None,
    }


def test_a_form_arrives(ask: Asker) -> None:
    answer = ask("/echo/1", "POST", data={"name": "Zoë", "tag": ["a", "b"]}).get_json()
    assert answer["form"] == {"name": ["Zoë"], "tag": ["a", "b"]}
    assert answer["method"] == "POST"


def test_a_path_below_a_prefix_arrives(ask: Asker) -> None:
    answer = ask.client.get("/echo/1", environ_overrides={"SCRIPT_NAME": "/below"})
    if ask.bench:
        assert answer.get_json()["links"]["self"].startswith("/below/jobs/")
        ask.bench.run()
        answer = ask.client.get(answer.get_json()["links"]["result"].removeprefix("/below"))
    assert answer.get_json()["url"] == "http://localhost/below/echo/1"


def test_json_arrives(ask: Asker) -> None:
    asked = {"rows": [1, 2, {"deep": None}]}
    assert ask("/json", "POST", json=asked).get_json() == {"asked": asked}
    broken = ask("/json", "POST", data=b"{", content_type="application/json")
    assert broken.status_code == 400


def test_files_arrive(ask: Asker) -> None:
    answer = ask(
        "/files",
        "POST",
        data={
            "title": "Two",
            "a": (io.BytesIO(b"x" * 400_000), "big.bin"),
            "b": (io.BytesIO(b"hello"), "ä.txt"),
        },
    )
    assert answer.get_json() == {
        "files": [
            ["a", "big.bin", "application/octet-stream", 400_000],
            ["b", "ä.txt", "text/plain", 5],
        ],
        "title": "Two",
    }


def test_a_body_without_a_length_arrives(ask: Asker) -> None:
    answer = ask(
        "/body",
        "POST",
        input_stream=io.BytesIO(b"chunk" * 100),
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert answer.get_json()["size"] == 500


class Zeros(io.RawIOBase):
    """So many zero bytes that nobody holds in memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer: Any) -> int:
        size = min(self.size - self.at, len(buffer))
        buffer[:size] = bytes(size)
        self.at += size
        return size


def test_twenty_megabytes_pass_through_little_memory(ask: Asker) -> None:
    size = 20 << 20
    ask("/body", "POST", data=b"warm")
    tracemalloc.start()
    try:
        answer = ask(
            "/body",
            "POST",
            input_stream=io.BufferedReader(Zeros(size)),
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.get_json()["size"] == size
    assert answer.get_json()["digest"] == hashlib.sha256(bytes(size)).hexdigest()
    assert peak < 4 << 20


def test_what_is_larger_than_the_app_allows_is_refused(ask: Asker) -> None:
    ask.app.config["MAX_CONTENT_LENGTH"] = 1000
    assert ask.client.post("/body", data=b"x" * 1001).status_code == 413
    assert ask.files() == []
    assert ask("/body", "POST", data=b"x" * 1000).get_json()["size"] == 1000


def test_the_form_may_be_read_before_the_view(ask: Asker) -> None:
    @ask.app.before_request
    def protect() -> None:
        if request.method == "POST":
            g.token = request.form["token"]

    answer = ask("/echo/1", "POST", data={"token": "t", "name": "n"})
    assert answer.get_json()["form"] == {"token": ["t"], "name": ["n"]}


def test_who_runs_before_each_request_runs_for_the_job_too(ask: Asker) -> None:
    seen: list[bool] = []

    @ask.app.before_request
    def greet() -> None:
        seen.append("backburner.job" in request.environ)
        g.greeting = f"hello {request.args['who']}"

    @ask.app.get("/greeting")
    @ask.tasks.background(wait=10 if ask.bench is None else 0)
    def greeting() -> str:
        return str(g.greeting)

    answer = ask.client.get("/greeting?who=you")
    if ask.bench:
        ask.bench.run()
        answer = ask.client.get(answer.get_json()["links"]["result"] + "?who=me")
    assert answer.text == "hello you"
    assert seen[:2] == [False, True]


def with_word(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def outer(*args: Any, **kwargs: Any) -> Any:
        if "refuse" in request.args:
            abort(403)
        return view(*args, word=request.args["word"], **kwargs)

    return outer


def test_decorators_above_and_below_do_their_part(ask: Asker) -> None:
    @ask.app.post("/words/<int:number>")
    @with_word
    @ask.tasks.background(wait=10 if ask.bench is None else 0)
    def words(number: int, word: str) -> str:
        return number * word + request.form["end"]

    assert ask("/words/2?word=ho", "POST", data={"end": "!"}).text == "hoho!"
    assert ask.client.post("/words/2?refuse=1").status_code == 403


def test_blueprints_and_classes_have_background_views(ask: Asker) -> None:
    wait = 10 if ask.bench is None else 0
    blueprint = Blueprint("shelf", __name__, url_prefix="/shelf")

    @blueprint.before_request
    def dust() -> None:
        g.dusted = True

    @blueprint.get("/book")
    @ask.tasks.background(wait=wait)
    def book() -> dict[str, Any]:
        return {"dusted": g.dusted, "url": url_for(".book")}

    class Reader(MethodView):
        decorators = (ask.tasks.background(wait=wait),)

        def post(self, page: int) -> str:
            return f"page {page}: {request.form['text']}"

    ask.app.register_blueprint(blueprint)
    ask.app.add_url_rule("/read/<int:page>", view_func=Reader.as_view("reader"))
    assert ask("/shelf/book").get_json() == {"dusted": True, "url": "/shelf/book"}
    assert ask("/read/3", "POST", data={"text": "x"}).text == "page 3: x"


# What is answered


def test_status_and_headers_are_the_views_own(ask: Asker) -> None:
    answer = ask("/made")
    assert answer.status == "201 Made Just Now"
    assert answer.get_json() == {"made": True}
    assert answer.headers.getlist("X-Part") == ["a", "b"]
    assert answer.headers.getlist("Set-Cookie") == ["taste=sweet; Path=/"]
    assert answer.headers["Content-Length"] == str(len(answer.data))


def test_an_empty_answer_stays_empty(ask: Asker) -> None:
    answer = ask("/nothing")
    assert (answer.status_code, answer.data) == (204, b"")


def test_the_views_own_404_is_its_own(ask: Asker) -> None:
    answer = ask("/missing")
    assert answer.status_code == 404
    assert "There is no such page here." in answer.text


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/elsewhere", "/elsewhere"),
        ("https://example.org/a?b", "https://example.org/a?b"),
        ("beside?x=1", "/beside?x=1"),
        ("?page=2", "/moved?page=2"),
    ],
)
def test_a_redirect_leads_where_it_meant(ask: Asker, to: str, location: str) -> None:
    answer = ask("/moved", query_string={"to": to})
    assert (answer.status_code, answer.location) == (302, location)


def test_the_apps_error_handlers_answer(ask: Asker) -> None:
    answer = ask("/hiccup")
    assert (answer.status_code, answer.text) == (418, "handled one at /hiccup")


def test_a_streamed_answer_is_kept_whole(ask: Asker) -> None:
    answer = ask("/stream")
    assert answer.text == "/stream 0\n/stream 1\n/stream 2\n"
    assert answer.mimetype == "text/plain"
    answer.close()
    with ask("/yielding") as answer:
        assert answer.text == "one two"


def test_a_file_is_sent_with_its_name(ask: Asker) -> None:
    with ask("/file") as answer:
        assert answer.data == b"0123456789"
        assert answer.mimetype == "text/plain"
        assert answer.headers["Content-Disposition"] == "inline; filename=ten.txt"
        assert answer.headers["Accept-Ranges"] == "bytes"


def test_a_part_of_a_file_is_sent(quick: Asker) -> None:
    with quick("/file", headers={"Range": "bytes=2-4"}) as answer:
        assert (answer.status_code, answer.data) == (206, b"234")
        assert answer.headers["Content-Range"] == "bytes 2-4/10"
    assert quick("/file", headers={"Range": "bytes=20-"}).status_code == 416


def test_parts_of_a_result_are_for_those_who_fetch_it(slow: Asker) -> None:
    accepted = slow.client.get("/file", headers={"Range": "bytes=2-4"}).get_json()
    assert slow.bench
    slow.bench.run()
    with slow.client.get(accepted["links"]["result"]) as whole:
        assert (whole.status_code, whole.data) == (200, b"0123456789")
    ranged = {"Range": "bytes=-3"}
    with slow.client.get(accepted["links"]["result"], headers=ranged) as part:
        assert (part.status_code, part.data) == (206, b"789")


def test_a_client_that_has_it_is_told_so(quick: Asker) -> None:
    assert quick("/tagged").data == b"as before"
    answer = quick("/tagged", headers={"If-None-Match": '"one"'})
    assert (answer.status_code, answer.data) == (304, b"")


def test_async_views_run(ask: Asker) -> None:
    assert ask("/async").text == "async 1"


def test_a_head_gets_no_body(ask: Asker) -> None:
    answer = ask.client.head("/made")
    assert answer.status_code == (201 if ask.bench is None else 202)
    assert answer.data == b""


def test_what_each_response_gets_on_its_way_out_it_gets_once(ask: Asker) -> None:
    @ask.app.after_request
    def stamp(response: Response) -> Response:
        if not response.direct_passthrough:
            response.set_data(response.get_data() + b"!")
        response.headers.add("X-Stamp", "1")
        return response

    @ask.app.get("/stamped")
    @ask.tasks.background(wait=10)
    def stamped() -> str:
        return "stamped"

    if ask.bench is None:
        answer = ask("/stamped")
        assert answer.data == b"stamped!"
        assert answer.headers.getlist("X-Stamp") == ["1"]


# Sessions and users


def test_the_session_is_readable_and_what_the_view_changes_is_kept(ask: Asker) -> None:
    ask.client.get("/name/Ada")
    assert ask("/flash").text == "flashed"
    assert ask.client.get("/session").get_json() == {
        "session": {"_flashes": [["message", "Hello Ada"]], "seen": ["a", "tuple"]},
        "flashed": ["Hello Ada"],
    }


def test_a_result_changes_only_what_its_view_changed(slow: Asker) -> None:
    slow.client.get("/name/Ada")
    links = slow.client.get("/flash").get_json()["links"]
    assert slow.bench
    slow.bench.run()
    slow.client.get("/name/Bob")
    with slow.client.session_transaction() as later:
        later["cart"] = [1]
    slow.client.get(links["result"])
    found = slow.client.get("/session").get_json()["session"]
    assert found["cart"] == [1]
    assert found["seen"] == ["a", "tuple"]
    assert "name" not in found


class User(flask_login.UserMixin):
    def __init__(self, id: str) -> None:
        self.id = id


def add_login(app: Flask) -> None:
    manager = flask_login.LoginManager(app)
    manager.user_loader(User)

    @app.get("/login/<id>")
    def login(id: str) -> str:
        flask_login.login_user(User(id))
        return id


def test_the_users_are_who_they_are(ask: Asker) -> None:
    add_login(ask.app)

    @ask.app.get("/me")
    @ask.tasks.background(wait=10 if ask.bench is None else 0)
    @flask_login.login_required
    def me() -> str:
        return f"I am {flask_login.current_user.id}"

    assert ask("/me").status_code == 401
    ask.client.get("/login/ada")
    assert ask("/me").text == "I am ada"


def test_a_result_is_for_the_one_who_asked(slow: Asker) -> None:
    add_login(slow.app)
    slow.client.get("/login/ada")
    result = slow.client.get("/made").get_json()["links"]["result"]
    assert slow.bench
    slow.bench.run()
    other = slow.app.test_client()
    assert other.get(result).status_code == 404
    assert RESULT not in other.get(result).headers
    other.get("/login/bob")
    assert other.get(result).status_code == 404
    assert slow.client.get(result).status_code == 201


# When it fails


def test_an_unhandled_error_is_flasks_usual_500(quick: Asker) -> None:
    answer = quick("/broken")
    assert answer.status_code == 500
    assert "Internal Server Error" in answer.text
    assert "secret" not in answer.text
    with quick.app.app_context():
        (job,) = quick.tasks.jobs(state="failed")
    assert job.error is not None
    assert job.error.message == "ZeroDivisionError: a secret"


def test_in_tests_the_error_comes_through_with_the_views_traceback(quick: Asker) -> None:
    quick.app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(JobFailed, match="ZeroDivisionError: a secret") as failed:
        quick("/broken")
    assert "in broken" in failed.value.__notes__[0]


def test_an_error_that_comes_later_fails_the_job(slow: Asker) -> None:
    links = slow.client.get("/broken").get_json()["links"]
    assert slow.bench
    assert [job.state for job in slow.bench.run()] == [State.FAILED]
    answer = slow.client.get(links["result"])
    assert answer.status_code == 409
    assert RESULT not in answer.headers
    assert slow.client.get(links["self"]).get_json()["error"]["code"] == "error"


def test_an_unfinished_result_is_a_409(slow: Asker) -> None:
    links = slow.client.get("/made").get_json()["links"]
    assert slow.client.get(links["result"]).status_code == 409


def test_a_cancelled_view_stops_in_the_middle_of_its_answer(tmp_path: Path) -> None:
    app, tasks = make_site(tmp_path, wait=0)
    begun = threading.Event()

    @app.get("/endless")
    @tasks.background(wait=0)
    def endless() -> Iterator[str]:
        for _ in range(10_000_000):
            yield "more "
            begun.set()

    client = app.test_client()
    links = client.get("/endless").get_json()["links"]
    assert begun.wait(60)
    assert client.post(links["cancel"]).status_code == 202
    until(lambda: client.get(links["self"]).get_json()["state"] == "cancelled")
    assert client.get(links["result"]).status_code == 409
    tasks.close()
    assert Asker(app, tasks, client).files() == []


def test_a_crash_runs_the_view_again(slow: Asker) -> None:
    accepted = slow.client.post("/body", data=b"hello").get_json()
    assert slow.bench
    slow.bench.crash("settle")
    slow.bench.run()
    slow.bench.clock.advance(1)
    (job,) = slow.bench.run()
    assert job.result.body == ".response-2"
    assert slow.client.get(accepted["links"]["result"]).get_json()["size"] == 5


def test_a_full_queue_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    app, _ = make_site(tmp_path, wait=0, BACKBURNER_MAX_QUEUED=1)
    with isolated(app, tmp_path):
        client = app.test_client()
        assert client.post("/body", data=b"x").status_code == 202
        refused = client.post("/body", data=b"x")
        assert refused.status_code == 503
        assert refused.get_json()["type"].endswith("#queue-full")
        assert len(list((tmp_path / "backburner.db.files").iterdir())) == 1


def test_files_that_are_gone_are_said(slow: Asker) -> None:
    assert slow.bench
    lost_body = slow.client.post("/body", data=b"x").get_json()
    folder = slow.tasks.installation(slow.app).files.folder
    os.unlink(folder / lost_body["id"] / ".request")
    (job,) = slow.bench.run()
    assert job.error is not None
    assert "The stored body of the request cannot be read" in job.error.message
    lost_answer = slow.client.get("/made").get_json()
    slow.bench.run()
    os.unlink(folder / lost_answer["id"] / ".response-1")
    assert slow.client.get(lost_answer["links"]["result"]).status_code == 503


def test_files_are_kept_as_long_as_they_are_needed(slow: Asker) -> None:
    links = slow.client.post("/body", data=b"hello").get_json()["links"]
    assert slow.bench
    slow.bench.run()
    assert [name.partition("/")[2] for name in slow.files()] == [".request", ".response-1"]
    slow.client.get(links["result"])
    assert [name.partition("/")[2] for name in slow.files()] == [".response-1"]
    slow.bench.clock.advance(1)
    with slow.app.app_context():
        assert slow.tasks.purge(0) == 1
    assert slow.files() == []
    assert slow.client.get(links["result"]).status_code == 410


# In a browser's words


def test_a_browser_is_led_from_page_to_page(slow: Asker) -> None:
    started = slow.client.get("/made", headers=HTML)
    assert (started.status_code, started.location[:6]) == (303, "/jobs/")
    page = slow.client.get(started.location, headers=HTML)
    assert page.status_code == 200
    assert "follow.js" in page.text
    assert slow.bench
    slow.bench.run()
    done = slow.client.get(started.location, headers=HTML)
    assert (done.status_code, done.location) == (303, f"{started.location}/result")
    assert slow.client.get(done.location, headers=HTML).status == "201 Made Just Now"


def test_a_failed_view_keeps_its_jobs_page(slow: Asker) -> None:
    started = slow.client.get("/broken", headers=HTML)
    assert slow.bench
    slow.bench.run()
    page = slow.client.get(started.location, headers=HTML)
    assert page.status_code == 200
    assert "The job failed because of an error" in page.text


def test_a_program_that_prefers_to_wait_gets_the_answer(tmp_path: Path) -> None:
    app, tasks = make_site(tmp_path, wait=0, BACKBURNER_MAX_STREAMS=10)
    answer = app.test_client().get("/made", headers={"Prefer": "wait=10"})
    assert answer.status_code == 201
    tasks.close()


def test_the_document_says_where_the_answer_is_and_not_what(slow: Asker) -> None:
    links = slow.client.get("/made").get_json()["links"]
    assert slow.bench
    (job,) = slow.bench.run()
    document = slow.client.get(links["self"]).get_json()
    assert document["state"] == "succeeded"
    assert "result" not in document
    assert isinstance(job.result, StoredResponse)


# Definitions


def refusal(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as refused:
        define()
    return str(refused.value)


def view() -> str:
    return "a view"


@pytest.fixture
def tasks(tmp_path: Path) -> Backburner:
    app = Flask("site", instance_path=str(tmp_path))
    return Backburner(app)


def test_a_view_decorated_above_its_route_is_refused(tasks: Backburner) -> None:
    (app,) = tasks._installations
    app.get("/view")(view)
    assert refusal(lambda: tasks.background(view)) == (
        "tests.test_background:view is registered with Flask as it was before "
        "@tasks.background, so it would never run in the background. Put @tasks.background below "
        "@app.route, directly above the function."
    )


def test_in_a_blueprint_it_is_refused_when_asked(tmp_path: Path) -> None:
    app = Flask("site", instance_path=str(tmp_path))
    app.testing = True
    app.config["BACKBURNER_WORKER"] = "external"
    tasks = Backburner(app)
    blueprint = Blueprint("views", __name__)
    tasks.background(blueprint.get("/view")(view))
    app.register_blueprint(blueprint)
    with pytest.raises(DefinitionError, match=r"Put @tasks\.background below @app\.route"):
        app.test_client().get("/view")
    tasks.close()


def test_the_same_function_may_also_be_a_plain_view(tmp_path: Path) -> None:
    app = Flask("site", instance_path=str(tmp_path))
    app.config["BACKBURNER_WORKER"] = "external"
    tasks = Backburner(app)
    app.add_url_rule("/slow", "slow", tasks.background(view))
    app.add_url_rule("/plain", "plain", view)
    assert app.test_client().get("/plain").text == "a view"
    tasks.close()


class Methods:
    def view(self) -> str:
        return "no"


def test_what_cannot_be_a_background_view_is_refused(tasks: Backburner) -> None:
    assert refusal(lambda: tasks.background(MethodView)) == (  # type: ignore[call-overload]  # what is refused here
        "MethodView is a class. Write `decorators = [tasks.background(wait=0.5)]` into it, and "
        "register it with as_view() as always."
    )
    assert refusal(lambda: tasks.background(Methods.view)) == (
        "Methods.view is a method and cannot be made a background view. Write `decorators = "
        "[tasks.background(wait=0.5)]` into its class instead."
    )
    assert refusal(lambda: tasks.background("view")).startswith(  # type: ignore[call-overload]  # what is refused here
        "'view' cannot be made a background view: only a function can."
    )
    task = tasks.task(view)
    assert refusal(lambda: tasks.background(task)).startswith(
        "<Task tests.test_background:view> cannot be made a background view: it runs in the "
        "background already."
    )


@pytest.mark.parametrize("wait", [-1, "1", None, True, float("nan")])
def test_a_wait_that_is_no_time_is_refused(tasks: Backburner, wait: Any) -> None:
    assert refusal(lambda: tasks.background(wait=wait)(view)) == (
        f"wait is {wait!r}, but must be seconds, 0 or more, or a timedelta: so long a request "
        "waits for the view's own response."
    )


def test_two_views_of_one_name_are_refused(tasks: Backburner) -> None:
    def other() -> str:
        return "other"

    other.__name__ = "view"
    tasks.background(view)
    assert "There is a task named 'tests.test_background:view' already" in refusal(
        lambda: tasks.background(other)
    )
    assert tasks.background(name="other")(other).task.name == "other"


def test_without_routes_there_is_nowhere_to_fetch_the_answer(tmp_path: Path) -> None:
    app, tasks = make_site(tmp_path, wait=0, BACKBURNER_URL_PREFIX=None, TESTING=True)
    with pytest.raises(ConfigError) as refused:
        app.test_client().get("/made")
    assert str(refused.value) == (
        "BACKBURNER_URL_PREFIX is None, but background views need the routes: the response of a "
        "slow one is fetched there. Set it to a path such as '/jobs'."
    )
    tasks.close()


def test_a_decorator_that_hides_the_view_is_told_from_one_that_does_not(quick: Asker) -> None:
    background = quick.tasks.background(view)
    quick.app.add_url_rule("/hidden", "hidden", lambda: background(), methods=["GET", "POST"])
    assert quick("/hidden").text == "a view"
    quick.app.testing = True
    with pytest.raises(Exception, match=r"Use functools\.wraps in the decorators above"):
        quick("/hidden", "POST", data=b"body")
