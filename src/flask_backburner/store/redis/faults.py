"""Faults that the store itself finds, and how rescued jobs are spread."""

from __future__ import annotations

from ...record import Fault
from .parcel import fault_text

RESCUE_JITTER = 0.5

LOST = fault_text(
    Fault(
        "lost",
        "The process that ran this job died, too often for another try. Look for what ends it: "
        "memory, a crashing extension, os._exit.",
    )
)
SILENT = fault_text(Fault("lost", "Nothing was heard of this job within its deadline."))
EXPIRED = fault_text(Fault("expired", "The job was not begun before its time was up."))
