"""Thumbnails: the pictures in a zip archive, made small."""
