"""Whether a SQLite store can live at a place."""

from __future__ import annotations

import os
import re
import warnings

from ..errors import StoreError

REFUSED = frozenset(
    {"afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)
DOUBTFUL = frozenset({"9p", "virtiofs"})
MOUNTS = "/proc/self/mountinfo"


def check_location(path: str, *, allow_network: bool, mounts: str = MOUNTS) -> None:
    """Raise ``StoreError`` for a folder in place of a file, and for network file systems.

    SQLite's log is shared memory between processes, and its locks and ours are the kernel's:
    on a network file system both fail silently, and jobs are lost or run twice.
    """
    if os.path.isdir(path):
        raise StoreError(
            f"The job store {path} is a folder, but must be a file. Set BACKBURNER_URL to a file "
            f"in it, such as sqlite:///{path}/backburner.db."
        )
    kind = file_system(path, mounts)
    if kind in DOUBTFUL:
        warnings.warn(
            f"The job store {path} is on {kind}, which may not share memory and locks between "
            "machines. Keep it to one machine.",
            stacklevel=2,
        )
    elif kind in REFUSED and not allow_network:
        raise StoreError(
            f"The job store {path} is on a network file system ({kind}), where SQLite loses "
            "data. Set BACKBURNER_URL to a file on a local disk, or, if you know that locks and "
            "shared memory work there, BACKBURNER_NETWORK_FS = True."
        )


def file_system(path: str, mounts: str = MOUNTS) -> str | None:
    """The kind of file system that a path is on; ``None`` where the system does not tell."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            found = [_mount(line) for line in lines]
    except OSError:
        return None
    place = os.path.dirname(os.path.realpath(path))
    # Of several mounts on one point the last hides the others.
    holding = [
        (len(point), number, kind)
        for number, (point, kind) in enumerate(found)
        if os.path.commonpath([point, place]) == point
    ]
    return max(holding)[2] if holding else None


def _mount(line: str) -> tuple[str, str]:
    """Where a line of mountinfo is mounted, and what kind of file system it is."""
    before, _, after = line.partition(" - ")
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
    return point, after.split()[0]
