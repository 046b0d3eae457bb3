"""Work directories of grids whose scores are drawn instead of trained."""

import types

import numpy as np
from etils import epath

from emergence import config as config_lib
from emergence.config import (
  Config,
  EvalConfig,
  GridConfig,
  ModelConfig,
  SeedsConfig,
  TaskConfig,
  TrainConfig,
)
from emergence.population.population import Snapshot
from emergence.storage import records
from emergence.sweep import sweep
from emergence.training.evaluate import Scores

DEVICE = types.SimpleNamespace(device_kind="cpu", platform="cpu")
NUM_ITEMS = 61  # Of count at length 20 with 80 numbers.


def config_of(num_scales: int = 6, num_seeds: int = 64, **eval_keys) -> Config:
  """Count over depths, with the control of the training distribution."""
  keys = {
    "num_points": 2,
    "train_distribution_items": 1024,
    "headline_metric": "exact_match_without_end",
  }
  return Config(
    task=TaskConfig(
      name="count",
      max_train_length=10,
      test_lengths=(10, 20),
      vocab_size=80,
      context_length=64,
    ),
    model=ModelConfig(head_dim=8),
    train=TrainConfig(steps=4, warmup_fraction=0.25),
    eval=EvalConfig(**(keys | eval_keys)),
    seeds=SeedsConfig(count=num_seeds),
    grid=GridConfig(widths=(8,), depths=tuple(range(1, num_scales + 1))),
  )


def write(folder, config: Config, score_SN, nll_SN=None, loss_SN=None) -> None:
  """Writes records whose final scores at the longest length are as given.

  Args:
    folder: the work directory.
    config: with N depths and S seeds.
    score_SN: both exact matches; rounded to the items. NaN: diverged.
    nll_SN: the mean negative log-likelihood; falls with the score where None.
    loss_SN: training loss, and likelihood on the training distribution; normal
      where None.
  """
  rng = np.random.default_rng(7)
  score_SN = np.round(np.asarray(score_SN) * NUM_ITEMS) / NUM_ITEMS
  if nll_SN is None:
    nll_SN = 2 - 1.9 * score_SN + rng.gamma(9, 0.02, score_SN.shape)
  if loss_SN is None:
    loss_SN = np.exp(rng.normal(-4, 0.2, score_SN.shape))
  workdir = epath.Path(folder)
  sweep.prepare(config, workdir, [DEVICE])
  for n, cell in enumerate(config_lib.cells(config)):
    diverged_S = np.isnan(score_SN[:, n])
    snapshots = [
      _snapshot(
        step,
        (step / config.train.steps) ** 2 * np.nan_to_num(score_SN[:, n]),
        nll_SN[:, n],
        loss_SN[:, n],
        diverged_S if step else diverged_S & False,
        len(config.test_sets),
      )
      for step in config.eval_steps
    ]
    seeds = range(len(score_SN))
    records.write(
      workdir,
      cell,
      records.to_table(config, cell, 77 * (n + 1), seeds, snapshots),
      records.make_provenance(config, cell, [DEVICE]),
    )


def _snapshot(step, score_S, nll_S, loss_S, diverged_S, num_sets) -> Snapshot:
  """Wrong answers of even seeds stop early, those of odd ones repeat."""
  score_SP = np.tile(score_S[:, None], (1, num_sets))
  nll_SP = np.tile(nll_S[:, None], (1, num_sets))
  score_SP[:, 0] = 1.0  # Within the lengths in training.
  nll_SP[:, 2:] = loss_S[:, None]
  wrong_SP = np.round((1 - score_SP) * NUM_ITEMS)
  is_odd_S1 = np.arange(len(score_S))[:, None] % 2 == 1
  early_SP, repeat_SP = wrong_SP * ~is_odd_S1, wrong_SP * is_odd_S1
  none_SP = np.zeros_like(score_SP)
  counts = [early_SP, none_SP, repeat_SP, none_SP, none_SP, none_SP]
  scores = [score_SP] * 3 + [nll_SP, 20 * nll_SP, -3 * nll_SP]
  values = Scores(*(np.float32(x) for x in (*scores, *counts)))
  return Snapshot(step, values, np.float32(loss_S), np.asarray(diverged_S))


def split(share_N, num_seeds=64) -> np.ndarray:
  """Seeds near 0 or near 0.9, the share of the latter at each scale."""
  rng = np.random.default_rng(0)
  noise_SN = np.abs(rng.normal(0, 0.04, (num_seeds, len(share_N))))
  quantile_SN = rng.permuted(
    np.tile((np.arange(num_seeds) + 0.5) / num_seeds, (len(share_N), 1)), axis=1
  ).T
  is_high_SN = quantile_SN < np.asarray(share_N)
  return np.where(is_high_SN, 0.9 - noise_SN, noise_SN)
