"""Ways to start `experiments.sweep` on other machines."""
