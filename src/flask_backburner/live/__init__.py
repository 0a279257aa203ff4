"""Waiting for jobs to change: who watches, and how many may without taking a server's threads."""
