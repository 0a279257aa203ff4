"""Why a queued job does not run yet, from what Redis tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import json

from ...record import Reason, Waiting
from ..base import COUNTED, PATIENCE_FOR_WORKER, WorkerInfo
from ..estimate import estimate, left_of
from .fields import read_number

SAMPLE = 50
RUNNING_READ = 200


def diagnose(answer: Sequence[Any]) -> Waiting:
    """The diagnosis of a job that is queued, from the answer of the script ``waiting``."""
    now, queue, run_at = float(answer[0]), answer[1].decode(), float(answer[2])
    since, mishaps, paused, ahead, living, ended, running = answer[3:]
    if run_at > now:
        reason = Reason.RETRY if mishaps else Reason.SCHEDULED
        return Waiting(reason, None, round(run_at - now, 1))
    if paused:
        return Waiting(Reason.PAUSED)
    position = ahead + 1 if ahead < COUNTED else None
    workers = [json.decode(told, type=WorkerInfo) for told in living]
    serving = [each for each in workers if each.queues is None or queue in each.queues]
    if not serving and now - float(since) >= PATIENCE_FOR_WORKER:
        return Waiting(Reason.NO_WORKER, position)
    slots = sum(each.threads for each in serving)
    usual = _usual(ended)
    return Waiting(
        Reason.IN_LINE, position, estimate(position, slots, usual, _left(running, usual, now))
    )


def _usual(ended: Sequence[Sequence[Any]]) -> dict[str, float]:
    """How long the last jobs of each task took."""
    took: dict[str, list[float]] = {}
    for task, started_at, finished_at in ended:
        if task and started_at and finished_at:
            took.setdefault(task.decode(), []).append(float(finished_at) - float(started_at))
    return {task: sum(each) / len(each) for task, each in took.items()}


def _left(running: Sequence[Sequence[Any]], usual: dict[str, float], now: float) -> list[float]:
    """How much longer each running job takes, by its progress, else by its task."""
    left = []
    for task, started_at, current, total, progressed_at, external in running:
        if external or not started_at:
            continue
        done, of = read_number(current), read_number(total)
        fraction = None if done is None or not of else done / of
        heard_at = None if progressed_at is None else float(progressed_at)
        left.append(left_of(usual, now, task.decode(), float(started_at), fraction, heard_at))
    return left
