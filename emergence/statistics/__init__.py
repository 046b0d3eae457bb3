"""Statistics of distributions over seeds: arrays in, named tuples out.

The statistics do not depend on how the scores were made, and no module here
imports the training code.
"""
