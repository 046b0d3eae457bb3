"""Records whose numbers tell which they are, and their work directories."""

import json
import types

import numpy as np

from emergence.config import identity_hash, to_dict
from emergence.population.population import Snapshot
from emergence.storage import records
from emergence.training.evaluate import Scores

_DEVICE = types.SimpleNamespace(device_kind="cpu", platform="cpu")


def make_table(config, cell, seeds):
  """Scores tell their seed, length, depth, step and metric; seed 3 diverges."""
  seeds, snapshots = list(seeds), []
  for step in config.eval_steps:
    base = np.add.outer(np.array(seeds) / 1000, np.arange(2) / 10)
    base = base + (cell.depth - 2) / 100 + step
    scores = Scores(*(np.float32(base + i) for i in range(len(Scores._fields))))
    loss = np.float32(np.array(seeds) + step)
    diverged = np.array([seed == 3 and step > 2 for seed in seeds])
    snapshots.append(Snapshot(step, scores, loss, diverged))
  return records.to_table(config, cell, 77, seeds, snapshots)


def write(config, workdir, cell, seeds):
  provenance = records.make_provenance(config, cell, [_DEVICE])
  records.write(workdir, cell, make_table(config, cell, seeds), provenance)


def write_config(config, workdir, identity=None):
  content = {
    "config": to_dict(config),
    "identity_hash": identity or identity_hash(config),
  }
  (workdir / "config.json").write_text(json.dumps(content))
