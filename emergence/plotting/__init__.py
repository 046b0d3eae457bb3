"""The parts of figures, in one style, as bytes and files."""
