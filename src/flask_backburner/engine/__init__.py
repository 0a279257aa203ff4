"""Engines: who provides the processes that run jobs."""
