"""Ids of jobs: 128 random bits as 22 letters and digits, which no command takes for an option."""

from __future__ import annotations

import os
import re
from string import ascii_letters, digits

_ALPHABET = digits + ascii_letters
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_ID = re.compile(r"[0-9A-Za-z]{22}")


def new_id() -> str:
    """An id that nobody can guess."""
    number = int.from_bytes(os.urandom(16))
    pairs = []
    for _ in range(11):
        number, pair = divmod(number, 3844)
        pairs.append(_PAIRS[pair])
    return "".join(pairs)


def is_id(text: str) -> bool:
    """Whether a text could be an id at all."""
    return _ID.fullmatch(text) is not None
