"""Many seeds: compiled, trained and evaluated together."""
