"""Signals sent when a job's state or progress changes; the sender is the app, ``job`` the job.

They are sent in an app context, by the process in which the change was made.
"""

from __future__ import annotations

from blinker import Namespace

_namespace = Namespace()

job_queued = _namespace.signal("job-queued")
job_started = _namespace.signal("job-started")
job_progressed = _namespace.signal("job-progressed")
job_succeeded = _namespace.signal("job-succeeded")
job_failed = _namespace.signal("job-failed")
job_cancelled = _namespace.signal("job-cancelled")
