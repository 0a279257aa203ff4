"""What a scenario tells its processes in their environment."""

JOURNAL = "CHAOS_JOURNAL"
FOLDER = "CHAOS_FOLDER"
HELD_IMPORT = "CHAOS_HELD_IMPORT"
"""The latch at which the app waits while it is imported."""
DEFECT = "CHAOS_DEFECT"
"""What is to be wrong with the product, to see whether the checker notices."""
