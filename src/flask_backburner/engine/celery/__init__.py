"""Celery as the engine: its workers run the jobs, on as many machines as there are."""
