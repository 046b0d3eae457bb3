import numpy as np
import pytest

from tests.computed import FEW, NLL, low_high, raw


def test_studies_of_one_seed_are_all_pairs_of_runs(two_groups):
  series = two_groups.series[0]
  scores = list(raw(series, two_groups).values())
  diverged = list(raw(series, two_groups, "diverged").values())
  for n, studies in enumerate(series.answers["small_studies"]):
    one = {s.statistic: s for s in studies if s.num_seeds == 1}
    x, y = (scores[m].dropna().to_numpy() for m in (n, n + 1))
    seen = y - x[:, None]
    truth = y.mean() - x.mean()
    assert one["mean"].difference == pytest.approx(truth)
    assert one["mean"].reversed == pytest.approx(
      (np.sign(seen) == -np.sign(truth)).mean()
    )
    assert one["mean"].missed == pytest.approx(
      (np.abs(seen - truth) >= 0.2).mean()
    )
    p, q = (
      ((scores[m] >= 0.2) & ~diverged[m].astype(bool)).mean()
      for m in (n, n + 1)
    )
    share = one["success_probability"]
    assert share.difference == pytest.approx(q - p)
    assert share.reversed == pytest.approx(
      p * (1 - q) if q > p else q * (1 - p)
    )


def test_small_studies_of_one_seed_are_all_pairs(say):
  rng = np.random.default_rng(7)
  first = low_high(14, 6) + rng.normal(0, 0.02, 20)
  second = low_high(8, 12) + rng.normal(0, 0.02, 20)
  cells = [np.clip(first, 0, 1), np.clip(second, 0, 1)]
  (text,) = say(cells, "small_studies")
  seen = cells[1] - cells[0][:, None]
  truth = cells[1].mean() - cells[0].mean()
  assert text.startswith(
    f"between size 1 and 2 the mean rises by {truth:.2g}, but"
    f" {(seen < 0).mean():.0%} of studies with one seed per scale and "
  )
  assert text.endswith("% of those with three would see it fall.")


def test_a_falling_loss_falls_in_its_own_unit(say):
  rng = np.random.default_rng(8)
  cells = [rng.normal(4, 0.1, 20), rng.normal(1, 0.1, 20)]
  options = FEW._replace(thresholds=(("nll", 2.0),))
  (text,) = say({("g", NLL): cells}, "small_studies", options)
  step = cells[1].mean() - cells[0].mean()
  assert f"the mean falls by {-step:.2g}, but 0% of studies with one" in text


def test_small_studies_are_not_drawn_from_small_studies(say):
  assert not say([[0.1] * 9, [0.9] * 9], "small_studies")
  assert say([[0.1] * 10, [0.9] * 10], "small_studies")
  assert not say([[0.9] * 20] * 3, "small_studies")
