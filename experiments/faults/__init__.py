"""Damage, faults, signals and company for a small sweep, each for real.

Every case has its expected outcome, and ends with the same command as any
other: the records have to be those of a sweep that nothing disturbed.
"""
