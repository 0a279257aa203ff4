"""What `celery -A` is given: the app of the factory."""

from __future__ import annotations

from apps.celery_factory import create_app

flask_app = create_app()
celery_app = flask_app.extensions["celery"]
