"""The command ``flask jobs``."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click
from flask import Flask
from flask.cli import ScriptInfo

from .engine.local.child import WrongApp, installation_of, log_to_stderr
from .engine.local.worker import Worker
from .errors import ConfigError
from .settings import KEYS


@click.group()
def jobs() -> None:
    """Background jobs."""


@jobs.command()
@click.option("-q", "--queue", "queues", multiple=True, help="A queue to serve; repeatable.")
@click.option("-c", "--threads", type=click.IntRange(min=1), help="Jobs at the same time.")
@click.option("--burst", is_flag=True, help="Stop when no job waits any more.")
@click.option("--grace", type=click.FloatRange(min=0), help="Seconds for running jobs at shutdown.")
@click.pass_context
def worker(
    context: click.Context,
    queues: tuple[str, ...],
    threads: int | None,
    burst: bool,
    grace: float | None,
) -> None:
    """Run jobs until told to stop.

    TERM or the first INT: claim no more, give running jobs --grace seconds, hand the rest
    back. The second, or QUIT: at once. Ends with 0 after a clean stop, with 1 if jobs had to
    be handed back.
    """
    log_to_stderr()
    installation = _installation(context.ensure_object(ScriptInfo).load_app())
    patience = installation.settings.grace if grace is None else grace
    running = Worker(
        installation,
        threads=threads,
        queues=_chosen(queues),
        burst=burst,
    )
    _stop_on_signals(running, patience)
    handed_back = running.run()
    installation.store.close()
    sys.exit(1 if handed_back else 0)


def _installation(app: Flask):  # type: ignore[no-untyped-def]
    try:
        return installation_of(app)
    except WrongApp as error:
        raise click.UsageError(f"The app {app.name!r} cannot run jobs. {error}") from None


def _chosen(queues: tuple[str, ...]) -> frozenset[str] | None:
    try:
        return KEYS["BACKBURNER_QUEUES"].read("--queue", list(queues) or None)  # type: ignore[no-any-return]
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def _stop_on_signals(running: Worker, grace: float) -> None:
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        running.stop(0.0 if asked or number == signal.SIGQUIT else grace)
        asked = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, stop)
