"""SessionChange: what a view did to its session, carried over to the session of later."""

from __future__ import annotations

from collections.abc import Mapping

from flask import session
from flask.json.tag import TaggedJSONSerializer

from ..errors import ResultError

_json = TaggedJSONSerializer()

Change = Mapping[str, str | None]
"""The new values by key, as Flask's own cookie has them; none for a key that was removed."""


def session_texts() -> dict[str, str | None]:
    """What is in the session now; none for a value that only this session's kind can keep."""
    return {key: _text(value) for key, value in session.items()}


def session_change(before: Change) -> dict[str, str | None]:
    """What is different in the session from what it was; nothing if no one meant to change it.

    Raises ``ResultError`` for a new value that cannot be carried.
    """
    if not session.modified:
        return {}
    after = session_texts()
    for key, text in after.items():
        if text is None and key not in before:
            raise ResultError(
                f"session[{key!r}] cannot be carried from a background view to the browser's "
                "session. Put plain JSON values into it."
            )
    changed = {key: text for key, text in after.items() if text != before.get(key)}
    return changed | dict.fromkeys(before.keys() - after.keys())


def apply_to_session(change: Change) -> None:
    """Do to the session of this request what the view did to its own."""
    for key, text in change.items():
        if text is None:
            session.pop(key, None)
        else:
            session[key] = _json.loads(text)


def _text(value: object) -> str | None:
    try:
        return _json.dumps(value)
    except TypeError:
        return None
