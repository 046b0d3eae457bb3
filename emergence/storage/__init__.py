"""What lasts: records, checkpoints, kept parameters, locks."""
