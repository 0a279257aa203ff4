"""Fractal: a slow page, made a background view by one decorator."""
