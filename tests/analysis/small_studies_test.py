import numpy as np

from tests.computed import FEW, NLL, low_high


def test_small_studies_of_one_seed_are_all_pairs(say):
  rng = np.random.default_rng(7)
  first = low_high(14, 6) + rng.normal(0, 0.02, 20)
  second = low_high(8, 12) + rng.normal(0, 0.02, 20)
  cells = [np.clip(first, 0, 1), np.clip(second, 0, 1)]
  (text,) = say(cells, "small_studies")
  seen = cells[1] - cells[0][:, None]
  truth = cells[1].mean() - cells[0].mean()
  assert text.startswith(
    f"from size 1 to 2 the mean rises by {truth:.2g}; with one seed per scale,"
    f" {(seen < 0).mean():.0%} of studies see a fall; with three, "
  )
  assert text.endswith("% do.")


def test_the_largest_change_of_the_mean_that_is_shown_is_told(say):
  """Not that of the share, nor one of few or of noise."""
  spread = np.linspace(-0.15, 0.15, 30)
  cells = [0.1 + spread / 2, 0.25 + spread / 2, 0.5 + 3 * spread]
  (text,) = say(cells, "small_studies")
  assert text.startswith("from size 2 to 3 the mean rises by 0.25; ")
  assert not say([0.5 + spread, 0.51 + spread], "small_studies")


def test_a_falling_loss_falls_in_its_own_unit(say):
  rng = np.random.default_rng(8)
  cells = [rng.normal(4, 2, 40).clip(0), rng.normal(1.5, 1, 40).clip(0)]
  options = FEW._replace(thresholds=(("nll", 2.0),))
  (text,) = say({("g", NLL): cells}, "small_studies", options)
  step = cells[1].mean() - cells[0].mean()
  share = (cells[1] - cells[0][:, None] > 0).mean()
  assert f"the mean falls by {-step:.2g}; with one seed" in text
  assert f" {share:.0%} of studies see a rise and " in text


def test_small_studies_are_not_drawn_from_small_studies(say):
  cells = [low_high(7, 2), low_high(0, 9)]
  assert not say(cells, "small_studies")
  assert say([low_high(8, 2), low_high(0, 10)], "small_studies")
