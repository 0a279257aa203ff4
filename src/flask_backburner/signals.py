"""Signals sent when a job's state or progress changes; the sender is the app, ``job`` the job.

They are sent after the fact, in an app context, by the process in which the change was made. A
receiver that fails is logged and changes nothing.
"""

from __future__ import annotations

from blinker import NamedSignal, Namespace
from flask import Flask

_namespace = Namespace()

job_queued = _namespace.signal("job-queued")
job_started = _namespace.signal("job-started")
job_progressed = _namespace.signal("job-progressed")
job_retried = _namespace.signal("job-retried")
job_succeeded = _namespace.signal("job-succeeded")
job_failed = _namespace.signal("job-failed")
job_cancelled = _namespace.signal("job-cancelled")

app_loaded = _namespace.signal("app-loaded")
"""Sent before a worker, a command or a server looks for an app's Backburner; not for receivers
of apps."""


def tell(signal: NamedSignal, app: Flask, job: object) -> None:
    """Send a signal about a job to all receivers, whatever becomes of any of them."""
    for receiver in signal.receivers_for(app):
        try:
            receiver(app, job=job)
        except Exception:
            app.logger.exception("A receiver of %s failed for %r", signal.name, job)
