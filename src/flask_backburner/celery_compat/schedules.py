"""The names of ``celery.schedules``: they can be imported, and say when called what is missing."""

from __future__ import annotations

from .refused import PERIODIC, Refused

__all__ = [
    "crontab",
    "schedule",
    "solar",
]

crontab = Refused("crontab", PERIODIC)
schedule = Refused("schedule", PERIODIC)
solar = Refused("solar", PERIODIC)
