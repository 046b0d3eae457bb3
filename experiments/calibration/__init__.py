"""Simulations that measure how often a statistic errs, and its power."""
