"""Statistics of distributions over seeds: arrays in, named tuples out.

Nothing here knows how the scores came to be, and nothing imports the training
side.
"""
