"""Argument: what the query of a request says, once."""

from __future__ import annotations

from flask import request

from .problem import Problem


def argument(name: str) -> str | None:
    """The value of an argument, ``None`` if it is not there; given twice it means nothing."""
    values = request.args.getlist(name)
    if len(values) > 1:
        raise unusable(name, ", ".join(values), "given once")
    return values[0] if values else None


def whole_number(name: str, default: int, least: int, most: int, wanted: str) -> int:
    """The value of an argument that is a whole number in these bounds; ``wanted`` says it."""
    text = argument(name)
    if text is None:
        return default
    short = len(text) <= len(str(most))
    if text.isascii() and text.isdecimal() and short and least <= int(text) <= most:
        return int(text)
    raise unusable(name, text, wanted)


def unusable(name: str, value: str, wanted: str) -> Problem:
    """The refusal of a value, which says what is wanted."""
    return Problem(
        422, "argument", "Argument not usable", f"{name} is {value[:80]!r}, but must be {wanted}."
    )
