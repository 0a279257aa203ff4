"""Liveness: who is alive, told by locks that the kernel frees when their holder dies."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from struct import Struct

import msgspec

from ..clock import Clock
from ..errors import StoreError
from .base import Presence, WorkerInfo
from .claim import Claim
from .locks import is_locked, open_lock, try_lock, unlock
from .silence import Silence

SLOT = Struct("=?q23s")  # started, fence, id
SLOTS = 4096
SLOT_BYTES = SLOT.size * SLOTS
BEAT = Struct("=Q")
MAPPED_BYTES = SLOT_BYTES + BEAT.size
_STARTED_AT = 0
SEEN_SECONDS = 1.0


class FilePresence(Presence):
    """A worker's locked file: a slot for each job that it holds, and the number of its beats.

    The file is mapped into memory, so a slot is written by a store to memory, without a system
    call, and outlives the process.
    """

    def __init__(self, path: str, info: WorkerInfo) -> None:
        self.worker = info.worker
        self.path = path
        self.undelivered: tuple[Claim, ...] = ()
        self._info = info
        self._fd: int | None = _locked_file(path, info, bytes(MAPPED_BYTES))
        self._slots = mmap.mmap(self._fd, MAPPED_BYTES)
        self._free = list(range(0, SLOT_BYTES, SLOT.size))
        self._taken: dict[tuple[str, int], int] = {}
        self._marking = threading.Lock()

    @property
    def capacity(self) -> int:
        """How many more jobs can be held."""
        return len(self._free)

    def hold(self, claims: tuple[Claim, ...]) -> None:
        """Give each new claim a slot; until it is delivered, the worker does not know of it."""
        self.undelivered += claims
        for claim in claims:
            at = self._free.pop()
            SLOT.pack_into(self._slots, at, False, claim.fence, claim.id.encode())
            self._taken[claim.id, claim.fence] = at

    def deliver(self) -> tuple[Claim, ...]:
        """The claims that the worker was not told of, those of a turn that failed late too."""
        claims, self.undelivered = self.undelivered, ()
        return claims

    def started(self, claim: Claim) -> bool:
        with self._marking:
            at = self._taken.get((claim.id, claim.fence))
            if at is None:
                return False
            self._slots[at + _STARTED_AT] = 1
        return True

    def beat(self) -> None:
        with self._marking:
            if self._fd is not None:
                (beats,) = BEAT.unpack_from(self._slots, SLOT_BYTES)
                BEAT.pack_into(self._slots, SLOT_BYTES, beats + 1)

    def drop(self, claims: list[Claim]) -> None:
        """Free the slots of claims that are settled, or not this worker's any more."""
        with self._marking:
            for claim in claims:
                at = self._taken.pop((claim.id, claim.fence), None)
                if at is not None:
                    self._slots[at + _STARTED_AT] = 0
                    self._free.append(at)

    def restore(self) -> None:
        """Write the file again if it was deleted, lest the worker be taken for dead."""
        if self._fd is None or os.path.exists(self.path):
            return
        with self._marking:
            fd = _locked_file(self.path, self._info, self._slots[:])
            self.forget()
            self._fd, self._slots = fd, mmap.mmap(fd, MAPPED_BYTES)

    def leave(self) -> None:
        if self._fd is None:
            return
        if not self._taken:  # else the file tells others what had started
            with suppress(FileNotFoundError):
                os.unlink(self.path)
        self.forget()

    def forget(self) -> None:
        """Close the file without a trace: for a forked child, whose parent is still alive."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._slots.close()
            os.close(fd)


def _locked_file(path: str, info: WorkerInfo, mapped: bytes) -> int:
    _make_folder(os.path.dirname(path))
    fd = open_lock(path + ".new")
    os.pwrite(fd, mapped + msgspec.json.encode(info), 0)
    if not try_lock(fd):
        os.close(fd)
        raise StoreError(f"The new lock file {path}.new is held already; is it on a local disk?")
    # Under its own name only once it is locked, lest it be taken for a dead worker's.
    os.rename(path + ".new", path)
    return fd


def _make_folder(path: str) -> None:
    os.makedirs(path, mode=0o700, exist_ok=True)


class Liveness:
    """The folder of the workers' files and of the roles' locks, of one namespace.

    The folder is made when it is needed, also again after somebody deleted it.
    """

    def __init__(self, folder: str, namespace: str, clock: Clock) -> None:
        self._silence = Silence(clock)
        self.folder = folder
        key = hashlib.blake2s(namespace.encode(), digest_size=6).hexdigest()
        self._prefix = f"worker-{key}-"
        self._role = f"role-{key}-"
        self._roles: dict[str, int] = {}
        self._presences: list[FilePresence] = []
        self._seen: tuple[float, int, list[WorkerInfo]] = (0.0, 0, [])

    def join(self, threads: int, queues: Collection[str] | None) -> FilePresence:
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        info = WorkerInfo(name, threads, None if queues is None else sorted(queues))
        presence = FilePresence(self._path(name), info)
        self._presences.append(presence)
        return presence

    def workers(self) -> list[str]:
        """The workers that have a file, alive or dead."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return [
            name.removeprefix(self._prefix)
            for name in names
            if name.startswith(self._prefix) and not name.endswith(".new")
        ]

    def alive(self) -> list[WorkerInfo]:
        """The workers whose file is locked."""
        return [
            msgspec.json.decode(os.pread(fd, os.fstat(fd).st_size, MAPPED_BYTES), type=WorkerInfo)
            for _, fd in self._opened(os.O_RDONLY)
            if is_locked(fd)
        ]

    def hung(self, limit: float) -> list[tuple[str, frozenset[tuple[str, int]]]]:
        """Each worker that lives and shows no beat, with the jobs that it had started."""
        found = {
            worker: os.pread(fd, MAPPED_BYTES, 0)
            for worker, fd in self._opened(os.O_RDONLY)
            if is_locked(fd)
        }
        beats = [(worker, BEAT.unpack(mapped[SLOT_BYTES:])[0]) for worker, mapped in found.items()]
        silent = self._silence.longer_than(limit, beats)
        return [(worker, _started(found[worker][:SLOT_BYTES])) for worker in silent]

    def lately_alive(self) -> list[WorkerInfo]:
        """The same, for those who ask often: whose end was no farewell may be in it a second."""
        try:
            # Changes whenever anybody joins or leaves.
            changed_at = os.stat(self.folder).st_mtime_ns
        except FileNotFoundError:
            return []
        found_at, folder_then, found = self._seen
        now = time.monotonic()
        if folder_then != changed_at or now - found_at > SEEN_SECONDS:
            found = self.alive()
            self._seen = (now, changed_at, found)
        return found

    def dead(self) -> Iterator[tuple[str, frozenset[tuple[str, int]]]]:
        """Each dead worker with the id and fence of the jobs that it had started.

        Its file goes when the iteration moves on: by then its jobs must have been rescued.
        Raises ``PermissionError`` at the end if there are files of another user's.
        """
        for worker, fd in self._opened(os.O_RDWR):
            # Somebody else may have removed it between the opening and the locking.
            if try_lock(fd) and os.fstat(fd).st_nlink:
                yield worker, _started(os.pread(fd, SLOT_BYTES, 0))
                with suppress(FileNotFoundError):
                    os.unlink(self._path(worker))

    def _opened(self, flags: int) -> Iterator[tuple[str, int]]:
        """Each worker's file, open until the iteration moves on."""
        refused: PermissionError | None = None
        for worker in self.workers():
            try:
                fd = os.open(self._path(worker), flags)
            except FileNotFoundError:
                continue
            except PermissionError as error:
                refused = error
                continue
            try:
                yield worker, fd
            finally:
                os.close(fd)
        if refused:
            raise refused

    def _path(self, worker: str) -> str:
        return os.path.join(self.folder, self._prefix + worker)

    def elect(self, role: str) -> bool:
        held = self._roles.get(role)
        if held is not None and os.fstat(held).st_nlink:
            return True
        self.resign(role)  # a lock whose file was deleted keeps nobody else away
        _make_folder(self.folder)
        fd = open_lock(os.path.join(self.folder, self._role + role))
        if try_lock(fd):
            self._roles[role] = fd
            return True
        os.close(fd)
        return False

    def resign(self, role: str) -> None:
        fd = self._roles.pop(role, None)
        if fd is not None:
            unlock(fd)
            os.close(fd)

    def close(self) -> None:
        for role in list(self._roles):
            self.resign(role)
        while self._presences:
            self._presences.pop().leave()

    def forget(self) -> None:
        """Close everything in a forked child without giving up what the parent holds."""
        while self._presences:
            self._presences.pop().forget()
        while self._roles:
            os.close(self._roles.popitem()[1])


def _started(slots: bytes) -> frozenset[tuple[str, int]]:
    return frozenset(
        (id.rstrip(b"\0").decode(), fence)
        for started, fence, id in SLOT.iter_unpack(slots)
        if started
    )
