"""HTML of a job: its page, and the bar for an app's own templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from flask import current_app, render_template
from markupsafe import Markup

from ..codec.shown import show
from ..document import timestamp
from ..errors import BackburnerError
from ..job import Job
from ..record import Line
from .asset import asset_url, has_assets
from .background import is_background_view

LINES_SHOWN = 200
FIRST_REFRESH = 2
SLOWEST_REFRESH = 60


def job_page(job: Job[Any]) -> str:
    """The page of one job, live where there is JavaScript."""
    document = job.document()
    return render_template(
        "backburner/job.html",
        job=document,
        log=_newest_lines(job),
        result_text=_result_text(document),
        script_url=asset_url("backburner.js"),
        style_url=asset_url("backburner.css"),
        follow_url=asset_url("follow.js") if _leads_on(job) else None,
        refresh_after=_refresh_after(job),
        csrf_token=csrf_token(),
        nonce=None,
    )


def _leads_on(job: Job[Any]) -> bool:
    return not job.done and is_background_view(job._installation, job.task)


def line_document(line: Line) -> dict[str, Any]:
    """A log line as clients see it."""
    return {
        "id": line.id,
        "at": timestamp(line.at),
        "level": line.level,
        "text": line.text,
    }


def _newest_lines(job: Job[Any]) -> list[dict[str, Any]]:
    return [line_document(line) for line in job.log()[-LINES_SHOWN:]]


def _result_text(document: dict[str, Any]) -> str | None:
    result = document.get("result")
    if result is None or isinstance(result, str):
        return result
    return msgspec.json.format(msgspec.json.encode(result), indent=2).decode()


def _refresh_after(job: Job[Any]) -> int | None:
    """Without JavaScript the page loads itself again, ever more slowly."""
    if job.done:
        return None
    age = job._installation.store.now() - job.created_at.timestamp()
    return int(min(SLOWEST_REFRESH, max(FIRST_REFRESH, age / 5)))


def _checked_job(job: object) -> Job[Any]:
    if isinstance(job, Job):
        return job
    raise TypeError(
        f"backburner.progress() and backburner.log() take a job, but got {show(job)}. Give the "
        "template the job itself, such as tasks.job(id)."
    )


def csrf_token() -> str | None:
    """Flask-WTF's token where that is in use."""
    generate = current_app.jinja_env.globals.get("csrf_token")
    return str(generate()) if callable(generate) else None


class TemplateGlobals:
    """What templates call ``backburner``."""

    def progress(
        self,
        job: Job[Any],
        label: str | None = None,
        caller: Callable[[], str] | None = None,
    ) -> Markup:
        """The job's live bar, showing its present state until the browser takes over.

        In a ``{% call %}`` block it holds the block's elements too, each shown in the states
        that its ``data-when`` names.
        """
        document = _checked_job(job).document()
        return Markup(
            render_template(
                "backburner/progress.html",
                job=document,
                label=label,
                result_text=_result_text(document),
                csrf_token=csrf_token(),
                slots=Markup(caller()) if caller else None,
            )
        )

    def log(self, job: Job[Any]) -> Markup:
        """The newest lines of the job's log; new ones come as long as its bar is on the page."""
        return Markup(
            render_template(
                "backburner/log.html", job=_checked_job(job).document(), log=_newest_lines(job)
            )
        )

    def script(self, nonce: str | None = None) -> Markup:
        """The style sheet and the script that make the bars live; once in a page's head."""
        if not has_assets():
            raise BackburnerError(
                "backburner.script() has nothing to load, because BACKBURNER_URL_PREFIX is None "
                "and so there are no routes. Set it to a path, or leave the script out."
            )
        return Markup(
            '<link rel="stylesheet" href="{}"><script type="module" src="{}"{}></script>'
        ).format(
            asset_url("backburner.css"),
            asset_url("backburner.js"),
            Markup(' nonce="{}"').format(nonce) if nonce else "",
        )
