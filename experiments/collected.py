"""Makes the records that are committed in experiments/records.

A folder there is a work directory without checkpoints and logs: config.json,
all records, the final parameters of a few seeds, when and where they were
trained, and `first_steps.json`, by which another machine can tell whether it
trains on the same data with the same losses.
"""

import hashlib
import json
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from etils import epath

from emergence import config as config_lib
from emergence.config import Cell, Config
from emergence.population.compilation import make_setup
from emergence.statistics import trajectories
from emergence.statistics.options import DEFAULT_THRESHOLD
from emergence.storage import params, records
from emergence.training import train

FOLDER = pathlib.Path(__file__).with_name("records")

# Seeds and steps of `first_steps.json`.
NUM_SEEDS, NUM_STEPS = 8, 100

# Parameters are kept of this many seeds that succeed, and as many that fail.
_NUM_OF_EITHER_KIND = 5


def collect(
  workdir: pathlib.Path, folder: pathlib.Path, with_params: bool
) -> None:
  """Copies the part of a finished sweep that is committed.

  Args:
    workdir: the sweep's work directory, with final parameters of all seeds.
    folder: the target; files that are there already are replaced.
    with_params: whether parameters are committed, see `seeds_to_keep`.

  Raises:
    ValueError: there are no records, or no parameters of a seed to keep.
  """
  source, target = epath.Path(workdir), epath.Path(folder)
  config = records.read_config(source)
  paths = [source / "config.json", *records.require_files(source)]
  for path in [*paths, *sorted((source / "runs").glob("*.json"))]:
    copy = target / path.relative_to(source)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(path.read_bytes())
  keep = seeds_to_keep(config, source) if with_params else {}
  for cell, seeds in keep.items():
    for seed in sorted(seeds):
      seed_params = params.load_params(source, cell, seed)
      params.save_params(
        target,
        cell,
        [seed],
        config.train.steps,
        jax.tree.map(lambda x: x[None], seed_params),
      )
  cell = records.cell_of_file(source, paths[1])
  content = {"cell": str(cell), **first_steps(config, cell, range(NUM_SEEDS))}
  text = json.dumps(content, indent=1)
  (target / "first_steps.json").write_text(text + "\n")


def seeds_to_keep(config: Config, workdir: epath.Path) -> dict[Cell, set[int]]:
  """The seeds whose parameters are committed, by cell.

  A grid of fewer than 6 scales keeps none. Other grids keep seeds at the scale
  with the greatest variance between seeds: the first five that succeed there,
  the first five that fail there, and those of the greatest breakthroughness and
  the greatest linearity over all scales.
  """
  cells = config_lib.cells(config)
  if len(cells) < trajectories.MIN_SCALES:
    return {}
  metric = config.eval.headline_metric
  frame = records.final_rows(records.read(workdir))
  is_headline = frame["test_length"] == config.headline_length
  frame = frame[is_headline & ~frame["diverged"]].set_index("seed")
  score_of = {
    cell: records.rows_of_cell(frame, cell.columns)[metric] for cell in cells
  }
  # Rows are seeds that every cell has, columns are scales.
  scores_SN = pd.concat(score_of.values(), axis=1, join="inner").sort_index()
  found = trajectories.trajectories(scores_SN.to_numpy())
  ranks = found.breakthroughness_rank_S, found.linearity_rank_S
  # No seed is ranked if all scores are 0.
  keep = {int(s) for rank_S in ranks for s in scores_SN.index[rank_S == 1]}
  most_varied = max(cells, key=lambda cell: score_of[cell].var())
  score = score_of[most_varied].sort_index()
  is_success = score >= DEFAULT_THRESHOLD
  for kind in (is_success, ~is_success):
    keep.update(is_success.index[kind][:_NUM_OF_EITHER_KIND].tolist())
  return {most_varied: keep}


def first_steps(
  config: Config, cell: Cell, seeds: Sequence[int]
) -> dict[str, list]:
  """Batches and losses of the first steps, from one seed after another.

  Args:
    config: the experiment.
    cell: one of its cells.
    seeds: S seed indices.

  Returns:
    A dict. `data_sha256` has, for each seed, the SHA-256 of the tokens of its
    first 100 batches, as int32 little endian. `losses` has, for each seed, the
    losses of these 100 steps.
  """
  setup = make_setup(config, cell)
  init_state, train_step = train.make_train(setup.config, setup.arch)
  sample = train.make_sampler(setup.config, setup.task)

  @jax.jit
  def run(init_seed, data_seed):
    keys = train.seed_keys(setup.config.root_seed, init_seed, data_seed)

    def step(state, number):
      batch = sample(keys[1], number)
      state, loss = train_step(state, batch)
      return state, (batch.tokens_L, loss)

    _, seen = jax.lax.scan(step, init_state(*keys), jnp.arange(NUM_STEPS))
    return seen

  digests, losses = [], []
  for seed in seeds:
    tokens, loss = run(*setup.config.seeds.init_and_data_seed(seed))
    content = np.asarray(tokens).astype("<i4").tobytes()
    digests.append(hashlib.sha256(content).hexdigest())
    losses.append(np.asarray(loss).astype(float).tolist())
  return {"data_sha256": digests, "losses": losses}
