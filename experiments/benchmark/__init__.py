"""Compares seed-steps per second of our code, plain JAX and PyTorch."""
