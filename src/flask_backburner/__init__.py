"""Background jobs with live status for Flask."""

from .backoff import Backoff
from .context import current_job
from .errors import (
    ArgumentError,
    BackburnerError,
    ConfigError,
    DefinitionError,
    JobCancelled,
    JobDone,
    JobError,
    JobFailed,
    JobForgotten,
    JobInterrupted,
    JobNotDone,
    JobNotFound,
    QueueFull,
    StoreError,
)
from .extension import Backburner
from .job import Job
from .record import Progress, State
from .signals import (
    job_cancelled,
    job_failed,
    job_progressed,
    job_queued,
    job_retried,
    job_started,
    job_succeeded,
)
from .task import Task

__all__ = [
    "ArgumentError",
    "Backburner",
    "BackburnerError",
    "Backoff",
    "ConfigError",
    "DefinitionError",
    "Job",
    "JobCancelled",
    "JobDone",
    "JobError",
    "JobFailed",
    "JobForgotten",
    "JobInterrupted",
    "JobNotDone",
    "JobNotFound",
    "Progress",
    "QueueFull",
    "State",
    "StoreError",
    "Task",
    "current_job",
    "job_cancelled",
    "job_failed",
    "job_progressed",
    "job_queued",
    "job_retried",
    "job_started",
    "job_succeeded",
]
