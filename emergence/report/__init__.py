"""The report: one HTML page, and what is on it."""
