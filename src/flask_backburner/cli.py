"""The command ``flask jobs``."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import click

from .controls import cancel, checked_queues, complain, loaded_installation, pause, resume, retry
from .engine.choice import celery_engine
from .engine.local.address import command_line_address, find_address
from .engine.local.child import end_of
from .engine.local.letter import log_to_stderr
from .engine.local.shutdown import Shutdown
from .engine.local.watchdog import Watchdog
from .engine.local.worker import Worker
from .errors import StoreError
from .installation import Installation

Pool = Literal["prefork", "threads"]

logger = logging.getLogger("flask_backburner")


@click.group()
def jobs() -> None:
    """Background jobs."""


@jobs.command()
@click.option("-q", "--queue", "queues", multiple=True, help="A queue to serve; repeatable.")
@click.option("-c", "--threads", type=click.IntRange(min=1), help="Jobs at the same time.")
@click.option("--burst", is_flag=True, help="Stop when no job waits any more.")
@click.option("--grace", type=click.FloatRange(min=0), help="Seconds for running jobs at shutdown.")
@click.option(
    "--pool", type=click.Choice(["prefork", "threads"]), help="On Celery: what jobs run in."
)
@click.pass_context
def worker(
    context: click.Context,
    queues: tuple[str, ...],
    threads: int | None,
    burst: bool,
    grace: float | None,
    pool: Pool | None,
) -> None:
    """Run jobs until told to stop.

    TERM or the first INT: claim no more, give running jobs --grace seconds, hand the rest
    back. The second, or QUIT: at once. HUP: let all end that runs, then start again. Ends with
    0 after a clean stop, with 1 if jobs had to be handed back.
    """
    shutdown = Shutdown(restart=True)
    shutdown.listen()
    installation = loaded_installation(context)
    log_to_stderr(installation.app)
    chosen = checked_queues("--queue", queues)
    _check_store(installation)
    seconds = installation.settings.grace if grace is None else grace
    if installation.settings.engine == "celery":
        _refuse(burst, "--burst", "on Celery, whose workers are told to stop by a signal")
        shutdown.give_up()  # Celery heeds signals by itself
        shutdown.end(_work_in_celery(installation, threads, chosen, pool or "prefork", seconds))
    _refuse(pool is not None, "--pool", "on the local engine, whose worker has all pools at once")
    running = Worker(
        installation,
        threads=threads,
        queues=chosen,
        burst=burst,
        address=find_address(installation.app, installation.settings.app or command_line_address()),
        watchdog=Watchdog(installation.settings.hang),
    )
    shutdown.guard(running, seconds)
    _say_what_is_served(installation, chosen, threads or installation.settings.threads)
    shutdown.end(end_of(running, installation))


def _work_in_celery(
    installation: Installation,
    size: int | None,
    queues: frozenset[str] | None,
    pool: Pool,
    grace: float,
) -> int:
    settings = installation.settings
    size = size or (settings.processes if pool == "prefork" else settings.threads)
    queues = settings.queues if queues is None else queues
    _say_what_is_served(installation, queues, size)
    return celery_engine(installation).work(size=size, queues=queues, pool=pool, grace=grace)


def _refuse(given: bool, option: str, where: str) -> None:
    if given:
        raise click.UsageError(f"There is no {option} {where}.")


def _say_what_is_served(
    installation: Installation, queues: frozenset[str] | None, size: int
) -> None:
    logger.info(
        "Serving %s of %s, %d jobs at a time; tasks: %s",
        "all queues" if queues is None else "the queues " + ", ".join(sorted(queues)),
        installation.settings.place,
        size,
        ", ".join(sorted(installation.tasks)) or "none",
    )


def _check_store(installation: Installation) -> None:
    """Later the worker waits for a store that is away, but it does not begin without one."""
    try:
        installation.store.counters()
    except StoreError as error:
        sys.exit(complain(error))


for command in (pause, resume, retry, cancel):
    jobs.add_command(command)
