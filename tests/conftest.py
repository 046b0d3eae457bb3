"""Strict settings for all tests, and the smallest experiment that trains."""

import os

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


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
  """Tests build the same programs again and again; each compiles once a run."""
  settings = {
    "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
  }
  for name, value in settings.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)  # For the commands under test.


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
