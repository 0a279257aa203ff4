"""Controls: the commands of ``flask jobs`` that change jobs and queues."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec
from flask import Flask
from flask.cli import ScriptInfo

from .engine.local.letter import WrongApp, installation_of
from .errors import BackburnerError, ConfigError, JobDone, JobNotFound, StoreError
from .ids import is_id
from .installation import Installation
from .job import Job
from .record import State
from .settings import read_queues

EX_FAILED = 1
EX_NO_SUCH_JOB = 4
EX_UNAVAILABLE = 69

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line, for programs."
)


def loaded_installation(context: click.Context) -> Installation:
    """What the app that the command was told has of this package; a usage error if nothing."""
    try:
        app: Flask = context.ensure_object(ScriptInfo).load_app()
    except ConfigError as error:
        raise click.UsageError(f"The app is configured wrongly. {error}") from None
    try:
        return installation_of(app)
    except WrongApp as error:
        raise click.UsageError(f"The app {app.name!r} cannot run jobs. {error}") from None


def checked_queues(option: str, queues: Iterable[str]) -> frozenset[str] | None:
    """The queues that were named, none for none; a usage error for what cannot be a name."""
    try:
        return read_queues(option, list(queues) or None)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def complain(error: BackburnerError) -> int:
    """Say on standard error what went wrong; gives back the exit code for it."""
    click.echo(f"Error: {error}", err=True)
    if isinstance(error, JobNotFound):
        return EX_NO_SUCH_JOB
    return EX_UNAVAILABLE if isinstance(error, StoreError) else EX_FAILED


@click.command()
@click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)
@json_option
@click.pass_context
def pause(context: click.Context, queues: tuple[str, ...], as_json: bool) -> None:
    """Start no more jobs of these queues.

    Those that run go on, and new ones are accepted and wait, until the queue is resumed.
    """
    _switch(context, queues, as_json, paused=True)


@click.command()
@click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)
@json_option
@click.pass_context
def resume(context: click.Context, queues: tuple[str, ...], as_json: bool) -> None:
    """Start jobs of these queues again, after a pause."""
    _switch(context, queues, as_json, paused=False)


def _switch(
    context: click.Context, queues: tuple[str, ...], as_json: bool, *, paused: bool
) -> None:
    names = sorted(checked_queues("QUEUE", queues) or ())
    with _opened(context) as installation:
        for queue in names:
            installation.store.pause(queue, paused)
            if not paused:
                installation.engine.announce(queue, 1)
            line = f"{queue}: {'paused' if paused else 'resumed'}"
            _say({"queue": queue, "paused": paused}, line, as_json)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_context
def retry(context: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Put failed or cancelled jobs back in line, as if they had never been tried."""
    _each_job(context, ids, as_json, lambda job: job.retry())


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_context
def cancel(context: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs: a queued one at once, a running one when it has stopped."""
    _each_job(context, ids, as_json, _cancelled)


def _cancelled(job: Job[Any]) -> None:
    job.cancel()
    if job.done and job.state is not State.CANCELLED:
        raise JobDone(job.id, job.state)


def _each_job(
    context: click.Context, ids: tuple[str, ...], as_json: bool, do: Callable[[Job[Any]], Any]
) -> None:
    """Do it with each of the jobs; one that fails stops none. Ends with the first one's code."""
    codes = []
    with _opened(context) as installation:
        for id in ids:
            try:
                job = _job(installation, id)
                do(job)
                _say(job.document(), _line(job), as_json)
            except BackburnerError as error:
                codes.append(complain(error))
    sys.exit(next(iter(codes), 0))


def _job(installation: Installation, id: str) -> Job[Any]:
    if not is_id(id):
        raise JobNotFound(id)
    return Job(installation.store.get(id), installation)


def _line(job: Job[Any]) -> str:
    stopping = job.record.cancel_requested and not job.done
    return f"{job.id}: {'is asked to stop' if stopping else job.state}"


def _say(document: dict[str, Any], line: str, as_json: bool) -> None:
    click.echo(msgspec.json.encode(document).decode() if as_json else line)


@contextmanager
def _opened(context: click.Context) -> Iterator[Installation]:
    """The installation, closed at the end; without its store the command ends here."""
    installation = loaded_installation(context)
    try:
        with installation.app.app_context():
            yield installation
    except StoreError as error:
        sys.exit(complain(error))
    finally:
        installation.close()
