import jax
import numpy as np

from emergence.config import Cell
from emergence.population import compilation
from emergence.storage import records
from emergence.storage.params import load_params
from emergence.sweep import time_budget
from emergence.training import evaluate
from tests.sweeps import find_pending, train


def test_seeds_in_pieces_are_the_records_of_one_go(
  config, programs, trained, workdir
):
  train(config, workdir, programs, seeds=[5, 2])
  work = find_pending(config, workdir)
  train(config, workdir, programs)
  assert work[0].blocks == [[0, 1, 3], [4, 6, 7]]
  assert records.read(workdir).equals(records.read(trained))


def test_a_finished_sweep_has_made_all_steps_of_all_seeds(config, trained):
  (run,) = time_budget.read_runs(trained)
  assert (run.seeds, run.seed_steps) == (8, 8 * config.train.steps)


def test_kept_parameters_are_those_of_the_seed(config, trained):
  cell = Cell.parse("count/width-8/depth-1")
  _, _, task, arch = compilation.make_setup(config, cell)
  score = jax.jit(evaluate.make_evaluate(task, arch, config.task.test_lengths))
  frame = records.read(trained)
  for seed, step in [(0, 0), (3, 2), (7, 6)]:
    params = load_params(trained, cell, seed, step)
    rows = frame.query(f"seed == {seed} and step == {step}")
    np.testing.assert_allclose(
      score(params).nll_sum, rows["nll_sum"], rtol=1e-4
    )


def test_seeds_whose_likelihoods_overflow_are_recorded_as_diverged(
  config, program, workdir, caplog
):
  """The last step leaves parameters that are huge, but finite."""

  def advance(*given):
    state, losses = program.advance(*given)
    with jax.transfer_guard("allow"):
      factor = 1e30 if state.step[0] == 6 else 1
      params = jax.tree.map(lambda x: x * factor, state.params)
    return state._replace(params=params), losses

  huge = {2: {program.cell: program._replace(advance=advance)}}
  train(config, workdir, huge, seeds=[0, 1])
  frame = records.read(workdir)
  assert set(frame["seed"]) == {0, 1}
  last = frame.query("step == 6")
  assert last["diverged"].all()
  assert (last["exact_match"] == 0).all()
  assert last["nll_mean"].isna().all()
  assert last["train_loss"].notna().all()
  assert not frame.query("step < 6")["diverged"].any()
  assert "2 of 2 seeds diverged" in caplog.text
