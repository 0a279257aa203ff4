"""Figures of Flask-Backburner: ``python -m bench`` prints them all."""
