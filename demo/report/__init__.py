"""Report: what is in a CSV file, column by column."""
