"""Distributions of outcomes over random seeds, across scale."""

__version__ = "0.1.0"
