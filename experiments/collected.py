"""The records that are committed in experiments/records: how they are made.

A folder there is a work directory without checkpoints and logs: config.json,
all records, the final parameters of a few seeds, when and where they were
trained, and `first_steps.json`, with which another machine can tell whether it
trains the same.
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

# So many seeds that succeed, and that fail, have their parameters kept.
_NUM_OF_EITHER_KIND = 5


def collect(
  workdir: pathlib.Path, folder: pathlib.Path, with_params: bool
) -> None:
  """Copies what is committed of a finished sweep.

  Args:
    workdir: a sweep's, with the final parameters of all seeds.
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
  """The seeds whose parameters are committed of a grid, by cell.

  Of at least 6 scales, at the scale of the greatest variance between seeds: the
  first five seeds that succeed, the first five that fail, and over all scales
  the seed of the greatest breakthroughness and that of the greatest linearity.
  Of fewer scales none.
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
  # Seeds that every cell has, in rows; scales, in columns.
  scores_SN = pd.concat(score_of.values(), axis=1, join="inner").sort_index()
  found = trajectories.trajectories(scores_SN.to_numpy())
  ranks = found.breakthroughness_rank_S, found.linearity_rank_S
  # Where no seed scores anything none is ranked.
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
  """What the first steps of seeds see and lose, one seed after another.

  Args:
    config: the experiment.
    cell: one of its cells.
    seeds: S seed indices.

  Returns:
    data_sha256: for each seed the SHA-256 of the tokens of its first 100
    batches, int32 little endian; losses: for each seed the loss of each of
    these steps, S lists of 100 floats.
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
