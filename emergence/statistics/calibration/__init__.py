"""Simulations that tabulate a statistic or measure how often it errs."""
