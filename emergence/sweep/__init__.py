"""Cells × blocks of seeds: what is left, and training it."""
