"""Seed-steps per second, side by side with JAX and PyTorch used plainly."""
