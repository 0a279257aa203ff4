"""Roles on Redis: a key each, which goes by itself when its holder is silent."""

from __future__ import annotations

import os
import secrets

from .space import Space

LEASE_SECONDS = 4.0


class Roles:
    """The roles of one store object. Whoever asks again in time goes on holding one."""

    def __init__(self, space: Space, lease: float) -> None:
        self.lease = round(lease * 1000)
        self._space = space
        self._name = secrets.token_hex(8)
        self._held: set[str] = set()

    @property
    def token(self) -> str:
        """By which Redis knows the holder; a forked child is another."""
        return f"{self._name}-{os.getpid()}"

    @property
    def held(self) -> list[str]:
        """Those that were held when it was asked last."""
        return sorted(self._held)

    def elect(self, role: str) -> bool:
        answer = self._space.run(
            "elect", repeatable=True, role=role, token=self.token, lease=self.lease
        )
        held = answer == 1
        (self._held.add if held else self._held.discard)(role)
        return bool(held)

    def resign(self, role: str) -> None:
        self._held.discard(role)
        self._space.run("resign", repeatable=True, role=role, token=self.token)
