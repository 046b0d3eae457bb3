"""Command-line programs: thin mains over `emergence`."""
