"""Where the jobs of one app lie on a Redis server, and the way to ask for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...clock import Clock
from .parcel import Parcel
from .scripts import script
from .server import Command, Server


class Space:
    """The keys of one namespace. Time is Redis's, unless the clock is not the ordinary one."""

    def __init__(self, server: Server, namespace: str, clock: Clock) -> None:
        # In braces is what the hash slot is chosen by: all keys of an app lie in one.
        self.name = f"{{bb:{namespace}}}"
        self._server = server
        self._clock = None if type(clock) is Clock else clock

    def key(self, *parts: str) -> str:
        """A key of the app's."""
        return ":".join((self.name, *parts))

    def run(
        self,
        verb: str,
        parcel: Parcel | None = None,
        *,
        patient: bool = False,
        repeatable: bool = False,
        **given: Any,
    ) -> Any:
        """What the script of a verb gives back."""
        return self._server.run(
            script(verb),
            self.name,
            self._time_given(),
            *(parcel or Parcel()).arguments(given),
            patient=patient,
            repeatable=repeatable,
        )

    def ask(self, *commands: Command) -> list[Any]:
        """The answers to commands that only read."""
        return self._server.ask(commands)

    def asked_when(self, *commands: Command) -> tuple[float, list[Any]]:
        """The same, with the store's time."""
        if self._clock is not None:
            return self._clock.now(), self._server.ask(commands)
        (seconds, microseconds), *answers = self._server.ask((("TIME",), *commands))
        return int(seconds) + int(microseconds) / 1e6, answers

    def _time_given(self) -> str:
        return "" if self._clock is None else repr(self._clock.now())


def texts(answers: Iterable[bytes]) -> list[str]:
    """Names and ids, as Redis gives them."""
    return [answer.decode() for answer in answers]
