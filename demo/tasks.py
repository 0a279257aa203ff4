"""The background jobs of all parts of the demo."""

from flask_backburner import Backburner

tasks = Backburner()
