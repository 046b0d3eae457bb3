"""One seed: the model, its training step and its evaluation."""
