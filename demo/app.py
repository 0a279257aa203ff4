"""The demo's application factory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from flask import Flask, Response, abort, current_app, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Response as BaseResponse

from demo import formats
from demo.fractal.views import fractal
from demo.report.views import report
from demo.tasks import tasks
from demo.thumbnails.views import thumbnails

HERE = Path(__file__).parent
PARTS = [
    ("Report", "report.index"),
    ("Thumbnails", "thumbnails.index"),
    ("Slow page", "fractal.mandelbrot_set"),
]
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def create_app() -> Flask:
    """Make the app; its files go to ``$DEMO_INSTANCE``, by default ``demo/instance``."""
    instance = Path(os.environ.get("DEMO_INSTANCE", HERE / "instance")).resolve()
    instance.mkdir(parents=True, exist_ok=True)
    app = Flask(__name__, instance_path=str(instance))
    app.config.from_mapping(
        SECRET_KEY=secret_key(instance / "secret-key"),
        SESSION_COOKIE_NAME="backburner-demo",
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=2_000_000_000,
        BACKBURNER_APP="demo.app:create_app()",
    )
    app.config.from_prefixed_env()
    tasks.init_app(app)
    for part in report, thumbnails, fractal:
        app.register_blueprint(part)
    app.add_url_rule("/favicon.ico", view_func=favicon)
    app.register_error_handler(HTTPException, show_error)
    app.before_request(refuse_other_sites)
    app.after_request(add_security_headers)
    app.jinja_env.filters.update(formats.FILTERS)
    app.jinja_env.globals["parts"] = PARTS
    return app


def secret_key(path: Path) -> str:
    """Read the key that signs sessions; the first process makes it, whole or not at all."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was quicker
        finally:
            draft.unlink()
    return path.read_text()


def refuse_other_sites() -> None:
    """Let no other site's page start or delete reports in a visitor's name."""
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site") == "cross-site":
        abort(403, "This form was sent from another site.")


def favicon() -> Response:
    """Answer what browsers ask for by themselves on the pages of jobs."""
    return current_app.send_static_file("flame.svg")


def add_security_headers(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def show_error(error: HTTPException) -> BaseResponse | HTTPException:
    if error.code is None or error.code < 400:
        return error
    response = error.get_response()  # with what its headers say, such as Allow
    response.set_data(render_template("error.html", error=error, words=words_for(error)))
    return response


def words_for(error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge):
        limit = formats.size(request.max_content_length or 0)
        return f"The file is larger than {limit}, the most that can be uploaded here."
    return error.description or ""
