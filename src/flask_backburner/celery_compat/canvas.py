"""The names of ``celery.canvas``: they can be imported, and say when called what is missing."""

from __future__ import annotations

from .refused import CANVAS, Refused

__all__ = [
    "GroupStampingVisitor",
    "Signature",
    "StampingVisitor",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]

GroupStampingVisitor = Refused("GroupStampingVisitor", CANVAS)
Signature = Refused("Signature", CANVAS)
StampingVisitor = Refused("StampingVisitor", CANVAS)
chain = Refused("chain", CANVAS)
chord = Refused("chord", CANVAS)
chunks = Refused("chunks", CANVAS)
group = Refused("group", CANVAS)
maybe_signature = Refused("maybe_signature", CANVAS)
signature = Refused("signature", CANVAS)
subtask = Refused("subtask", CANVAS)
xmap = Refused("xmap", CANVAS)
xstarmap = Refused("xstarmap", CANVAS)
