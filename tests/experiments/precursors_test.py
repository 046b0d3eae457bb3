"""What is seen before, on drawn grids."""

import numpy as np
import pytest
from scipy import stats

from emergence.statistics.sample import Sample
from experiments import claims, precursors
from experiments.precursors import SIGNS, Trial
from tests import drawn_grids


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
  """Clusters appear, then grow; at depth 3 low losses come with high scores."""
  folder = tmp_path_factory.mktemp("grid")
  score_SN = drawn_grids.split([0, 0.05, 0.3, 0.7], 60)
  loss_SN = np.exp(np.random.default_rng(0).normal(-4, 0.2, (60, 4)))
  loss_SN[:, 2] *= np.where(score_SN[:, 2] > 0.2, 0.8, 1.0)
  config = drawn_grids.config_of(4, 60, num_points=4)
  drawn_grids.write(folder, config, score_SN, loss_SN=loss_SN)
  return claims.load("grid", folder)


def test_signs_are_seen_before_a_rise_and_not_in_nulls(grid):
  found = precursors.trials(grid)
  real = [trial for trial in found if trial.rises is not None]
  # At depths 2 and 3 the success probability rises to the next one.
  assert [trial.rises for trial in real] == [False, True, True]
  assert real[2].signs == dict.fromkeys(SIGNS, True)
  # At depth 1 nothing can be compared with the scale before.
  compared = [name for name in SIGNS if name.endswith("at the scale before")]
  assert [real[0].signs[name] for name in compared] == [None, None]
  nulls = [trial for trial in found if trial.rises is None]
  assert len(nulls) == 30
  for name in list(SIGNS)[1:]:
    signs = [trial.signs[name] for trial in nulls]
    seen = [is_seen for is_seen in signs if is_seen is not None]
    assert len(seen) == (20 if name in compared else 30)
    assert stats.binomtest(sum(seen), len(seen), 0.05).pvalue > 0.001, name


@pytest.mark.parametrize(("num", "is_seen"), [(20, True), (21, False)])
def test_the_best_tenth_is_counted_and_rounded_up(num, is_seen):
  sample = Sample.of(np.where(np.arange(num) < 2, 1.0, 0.0))
  observed = precursors.Observed(None, sample, sample, 0.2)
  assert SIGNS["the best tenth succeeds"](observed) == is_seen


def test_rates_of_few_trials_are_counts_alone():
  signs = dict.fromkeys(SIGNS, True)
  several = [Trial(signs, True)] * 3 + [Trial(signs, None)] * 10
  _, first, *_ = precursors.table(several)
  low = 0.025**0.1  # Clopper and Pearson's, of ten out of ten.
  assert first[1:] == ["3 of 3", "0 of 0", f"10 of 10 ({low:.2f}–1.00)"]


def test_a_forecast_counts_the_pairs_that_it_ranks_right(grid):
  found = precursors.forecasts(grid)
  (loss,) = [
    x for x in found if (x.scale, x.sign, x.step) == (2, "training loss", 1)
  ]
  frame = grid.frame
  rows = frame[(frame["depth"] == 3) & (frame["test_length"] == 20)]
  wide = rows.pivot(index="seed", columns="step", values=claims.SCORE)
  loss_S = rows[rows["step"] == 1].set_index("seed")["train_loss"]
  waiting = wide[1] < 0.2
  yes, no = (
    loss_S[waiting & (wide[4] >= 0.2)],
    loss_S[waiting & (wide[4] < 0.2)],
  )
  assert (loss.num_yes, loss.num_no) == (len(yes), len(no))
  pairs = np.array([[a < b for b in no] for a in yes])
  assert loss.auc == pytest.approx(pairs.mean())
  sentence = precursors.sentence(grid, found)
  assert "5 of 6 comparisons show" in sentence
  assert sentence.endswith("(ties count half).")
  assert len(precursors.draw(grid, found).axes) >= 3
