"""Defects: what the checker must notice, each a few lines of the product replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask_backburner import checkpoint, context
from flask_backburner.engine.local import crew, slot
from flask_backburner.engine.local.processes import ProcessPool
from flask_backburner.engine.local.threads import ThreadPool
from flask_backburner.running import RunningJob
from flask_backburner.store import line, moves, rescue, settlements
from flask_backburner.store.claim import Claim
from flask_backburner.store.liveness import FilePresence
from flask_backburner.store.transaction import Transaction


def delete_on_pop() -> None:
    """A job that is taken is in nobody's line any more; who dies takes it along."""

    def forget(tx: Transaction, worker: str, *others: Any, **more: Any) -> list[str]:
        tx.execute("DELETE FROM jobs WHERE worker = ? AND state = 'running'", (worker,))
        return []

    replace(rescue, "rescue", forget)


def no_rescue() -> None:
    """Nobody takes up what the dead leave."""
    replace(rescue, "rescue", lambda *others, **more: [])


def claimed_is_started() -> None:
    """Jobs count as started as soon as they are claimed, and many are claimed ahead."""
    hold = FilePresence.hold

    def hold_as_started(presence: FilePresence, claims: tuple[Claim, ...]) -> None:
        hold(presence, claims)
        for claim in claims:
            presence.started(claim)

    replace(FilePresence, "hold", hold_as_started)
    replace(ThreadPool, "_judge_speed", lambda pool, finished: setattr(pool, "_ahead", 60))


def not_alone() -> None:
    """A job that has crashed often stands in line like any other."""
    replace(line, "mark", lambda crashes: f"CASE WHEN {crashes} >= 0 THEN 1 END")
    replace(crew, "SUSPICIOUS", 100)


def resume_forgets() -> None:
    """A job that runs again begins with its first item."""
    resumed = checkpoint.resumed

    def from_the_start(job: RunningJob, iterable: Iterable[Any]) -> Iterator[Any]:
        job.saved = {key: kept for key, kept in job.saved.items() if not key.startswith("track:")}
        return resumed(job, iterable)

    replace(context, "resumed", from_the_start)


def steps_forget() -> None:
    """The result of a step is kept under a name that no later attempt looks for."""
    run_step = checkpoint.run_step

    def under_another(job: RunningJob, name: str, *others: Any) -> Any:
        return run_step(job, f"{name} of attempt {job.claim.attempt}", *others)

    replace(context, "run_step", under_another)


def release_is_crash() -> None:
    """A job that is handed back counts as crashed."""
    requeue = moves.requeue

    def blaming(tx: Transaction, seq: int, **how: Any) -> None:
        requeue(tx, seq, **{"crashes": 1, **how})

    replace(settlements, "requeue", blaming)


def no_fence() -> None:
    """Who once had a job may say how it ended, whoever has it now."""
    held = "id = ? AND ? > 0 AND state = 'running'"
    replace(settlements, "HELD", held)
    succeed = settlements._SUCCEED.replace("AND fence = ?", "AND ? > 0")
    replace(settlements, "_SUCCEED", succeed)


def never_killed() -> None:
    """A process job that does not heed SIGTERM goes on."""
    replace(ProcessPool, "_gone_astray", lambda pool, running: None)


def children_stay() -> None:
    """What a process job has started is not noticed when the job ends."""
    replace(slot, "has_children", lambda: False)


# Those of Celery's workers import it late: it takes long to load, and other scenarios are timed.


def redis_no_rescue() -> None:
    """Nobody takes up what the dead leave in Redis."""
    from flask_backburner.store.redis import RedisStore

    replace(RedisStore, "rescue", lambda store, hang=None: [])


def child_unseen() -> None:
    """A worker does not see its own processes die; only their silence tells."""
    from flask_backburner.engine.celery.overseer import Overseer

    replace(Overseer, "_see_to_the_dead", lambda overseer: None)


def announced_once() -> None:
    """Jobs whose token was lost are not announced again."""
    from flask_backburner.engine.celery.overseer import Overseer

    replace(Overseer, "_announce_again", lambda overseer: None)


def never_reconciled() -> None:
    """What Redis holds for a worker that knows nothing of it stays so."""
    from flask_backburner.store.redis.presence import RedisPresence

    replace(RedisPresence, "_reconcile", lambda presence: None)


def settled_once() -> None:
    """What could not be recorded at once is forgotten."""
    from flask_backburner.engine.celery.carrier import Carrier

    tried_turn = Carrier._tried_turn

    def careless(carrier: Any, *others: Any, **more: Any) -> Any:
        turn = tried_turn(carrier, *others, **more)
        carrier._settled = []
        return turn

    replace(Carrier, "_tried_turn", careless)


def replace(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


_ALL = (
    delete_on_pop,
    no_rescue,
    claimed_is_started,
    not_alone,
    resume_forgets,
    steps_forget,
    release_is_crash,
    no_fence,
    never_killed,
    children_stay,
    redis_no_rescue,
    child_unseen,
    announced_once,
    never_reconciled,
    settled_once,
)
DEFECTS: dict[str, Callable[[], None]] = {each.__name__: each for each in _ALL}


def install(name: str | None) -> None:
    """Replace what the defect replaces, in this process."""
    if name:
        DEFECTS[name]()
