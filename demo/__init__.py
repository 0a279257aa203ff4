"""A small product made with Flask-Backburner; ``make demo`` serves it."""
