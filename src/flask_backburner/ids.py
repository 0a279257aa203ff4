"""Ids of jobs: 22 random letters and digits (131 bits), which no command takes for an option."""

from __future__ import annotations

import os
import re
from string import ascii_letters, digits

LETTERS = 22
_ALPHABET = (digits + ascii_letters).encode()
_OF_BYTE = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
# Four bytes for each letter, so that all are equally likely; what is left over is dropped.
_LEFT_OVER = bytes(range(256 - 256 % len(_ALPHABET), 256))
_ID = re.compile(r"[0-9A-Za-z]{22}")


def new_id() -> str:
    """An id that nobody can guess."""
    letters = b""
    while len(letters) < LETTERS:
        letters = os.urandom(32).translate(_OF_BYTE, _LEFT_OVER)
    return letters[:LETTERS].decode()


def is_id(text: str) -> bool:
    """Whether a text could be an id at all."""
    return _ID.fullmatch(text) is not None
