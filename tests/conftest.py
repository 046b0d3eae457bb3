"""Strict settings for all tests, and the smallest experiment that trains."""

import jax
import pytest

from emergence.config import (
  Config,
  EvalConfig,
  GridConfig,
  ModelConfig,
  SeedsConfig,
  TaskConfig,
  TrainConfig,
)

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def tiny() -> Config:
  """One width, two depths, eight seeds in two blocks, six updates."""
  return Config(
    task=TaskConfig(
      name="count",
      max_train_length=4,
      test_lengths=(4, 6),
      vocab_size=12,
      context_length=24,
    ),
    model=ModelConfig(head_dim=4),
    train=TrainConfig(steps=6, batch_size=2, warmup_fraction=0.5),
    eval=EvalConfig(num_points=3, items=8),
    seeds=SeedsConfig(block=4, count=8),
    grid=GridConfig(widths=(8,), depths=(1, 2)),
  )
