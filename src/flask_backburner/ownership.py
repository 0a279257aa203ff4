"""Whose a job is: the current owner, as the app names it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from flask import current_app, has_request_context

from .errors import BackburnerError

Loader = Callable[[], object]


class Ownership:
    """Names the current owner: by the app's ``owner_loader``, else Flask-Login's user."""

    def __init__(self) -> None:
        self.loader: Loader | None = None

    def current(self) -> str | None:
        """The id of who makes this request; ``None`` for nobody, and outside requests."""
        if not has_request_context():
            return None
        owner = self.loader() if self.loader else _flask_login_user()
        return checked_owner(owner)


def _flask_login_user() -> object:
    """Flask-Login's, where the app uses it: then it was imported already."""
    flask_login = sys.modules.get("flask_login")
    if flask_login is None or not hasattr(current_app, "login_manager"):
        return None
    user = flask_login.current_user
    return user.get_id() if user.is_authenticated else None


def checked_owner(owner: object) -> str | None:
    """An owner as text. Raises ``BackburnerError`` for what is no id."""
    if owner is None or (isinstance(owner, str) and owner and owner.isprintable()):
        return owner
    if isinstance(owner, int) and not isinstance(owner, bool):
        return str(owner)
    raise BackburnerError(
        f"{owner!r} cannot be a job's owner. Use the user's id as printable text or a whole "
        "number, or None for nobody."
    )
