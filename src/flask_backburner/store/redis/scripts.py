"""The scripts that Redis runs, each of which is one atomic move."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from msgspec import Struct

from ...record import SUSPICIOUS
from ..base import COUNTED, LINES_KEPT

LUA = Path(__file__).parent / "lua"

ADMITTED_AT_ONCE = 500
"""A crowd that becomes due at one time joins the line in parts, so that nobody waits for all."""

JOB_BYTES = 1500
"""About what a job takes besides its data: its hash, and its places in the lists."""

CONSTANTS = {
    "SUSPICIOUS": SUSPICIOUS,
    "LINES_KEPT": LINES_KEPT,
    "COUNTED": COUNTED,
    "ADMITTED_AT_ONCE": ADMITTED_AT_ONCE,
    "JOB_BYTES": JOB_BYTES,
}

_JOBS = ("job", "line", "moves")
VERBS: dict[str, tuple[str, ...]] = {
    "add": ("job", "line"),
    "turn": (*_JOBS, "workers", "report", "settle", "claim"),
    "cancel": _JOBS,
    "retry": _JOBS,
    "rescue": _JOBS,
    "reconcile": _JOBS,
    "purge": ("job",),
    "lines": ("job",),
    "started": ("job",),
    "oldest": ("job",),
    "waiting": ("job", "line", "workers"),
    "marks": (),
    "living": ("workers",),
    "beat": ("workers",),
    "leave": ("workers",),
    "vouch": (),
    "elect": (),
    "resign": (),
    "pause": (),
    "check": (),
}
"""What each script takes besides the file of its name; all take ``space``."""


class Script(Struct, frozen=True):
    """The text of a script, and the name by which Redis knows it."""

    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script of a verb."""
    constants = "".join(f"local {each} = {value}\n" for each, value in CONSTANTS.items())
    parts = ("space", *VERBS[name], name)
    text = constants + "\n".join(_text(part) for part in parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _text(part: str) -> str:
    return (LUA / f"{part}.lua").read_text("utf-8")
