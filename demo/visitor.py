"""Visitor: who somebody is without signing in, so that each sees only what is their own."""

from __future__ import annotations

import secrets

from flask import session

from demo.tasks import tasks


@tasks.owner_loader
def visitor() -> str:
    """Give the visitor's id, kept in the browser's session."""
    session.permanent = True
    return str(session.setdefault("visitor", secrets.token_urlsafe(16)))
