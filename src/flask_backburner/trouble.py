"""Trouble: what goes wrong in a loop that goes on, said once and not at every try."""

from __future__ import annotations

import logging

from .errors import StoreError

logger = logging.getLogger("flask_backburner")


class Trouble:
    """The trouble that ``who``, a loop in the log's words, has at the moment, if any."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._now = ""

    def tell(self, error: Exception) -> None:
        """Log what is wrong, unless it was wrong already."""
        before, self._now = self._now, repr(error)
        if before == self._now:
            return
        if isinstance(error, StoreError):
            logger.error("%s waits for its store: %s", self._who, error)
        else:
            logger.error("%s could not go on; it tries again", self._who, exc_info=error)

    def over(self) -> bool:
        """All is well; true if that is news."""
        before, self._now = self._now, ""
        return bool(before)
