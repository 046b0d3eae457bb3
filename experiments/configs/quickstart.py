"""Count on a laptop."""

from emergence.config import Config, GridConfig, ModelConfig, TaskConfig

config = Config(
  task=TaskConfig(test_lengths=(10, 12, 15, 20)),
  model=ModelConfig(head_dim=16, parallel_residual=False, rotary_fraction=1.0),
  grid=GridConfig(widths=(16,), depths=(1, 2, 4)),
)
