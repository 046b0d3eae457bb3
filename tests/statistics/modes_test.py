import numpy as np
import pytest
from scipy import optimize, stats

from emergence.statistics import density, modes
from emergence.statistics.sample import REAL, UNIT, Sample

RNG = np.random.default_rng(0)
POSITIVE = (0.0, np.inf)


def shape(scores_S, support=UNIT, step=None):
  return modes.mode_and_antimode(Sample.of(scores_S, support, step))


def two_clusters(rng, num_low, num_high, low=0.2, high=0.7, deviation=0.04):
  centres_S = np.repeat([low, high], [num_low, num_high])
  return rng.normal(centres_S, deviation)


def test_the_runs_at_the_end_of_a_grid_count_as_much_as_others():
  # 36 at 0, 40 one step above: folded at 0, the former would be the mode.
  scores_S = np.repeat([0, 1, 2, 3], [36, 40, 20, 4]) / 11
  assert shape(scores_S).mode == pytest.approx(1 / 11, abs=0.05)
  assert shape(scores_S, step=0).mode == pytest.approx(0, abs=0.01)
  assert np.isnan(shape(scores_S).antimode)


@pytest.mark.parametrize(
  ("num_far", "far", "sign"), [(20, 50.0, 1), (3, 1e6, 1), (20, 1e6, -1)]
)
def test_runs_far_out_change_neither_mode_nor_antimode(num_far, far, sign):
  rng = np.random.default_rng(5)
  scores_S = np.append(rng.normal(0.3, 0.05, 57), rng.normal(2, 0.2, 47))
  far_S = rng.normal(far, 0.05 * far, num_far)
  support = POSITIVE if sign > 0 else (-np.inf, 0.0)
  plain = shape(sign * scores_S, support)
  found = shape(sign * np.append(scores_S, far_S), support)
  assert found.mode == pytest.approx(sign * 0.3, abs=0.05)
  assert plain.mode == pytest.approx(found.mode, abs=0.05)
  assert found.antimode == pytest.approx(plain.antimode, abs=0.1)
  assert np.abs(found.antimode) == pytest.approx(1, abs=0.25)


def test_beside_an_atom_an_empty_stretch_has_its_antimode_in_the_middle():
  rng = np.random.default_rng(6)
  scores_S = np.append(np.full(80, 0.7), rng.normal(3, 0.1, 17))
  scores_S = np.append(scores_S, [1000.0] * 3)
  assert shape(scores_S, POSITIVE).antimode == pytest.approx(1.8, abs=0.2)


@pytest.mark.parametrize(("num", "least"), [(100, 5), (10_000, 50)])
def test_the_more_runs_the_lighter_a_mode_may_be(num, least):
  for num_high, found in ((least, True), (least - 1, False)):
    scores_S = np.repeat([0.2, 0.8], [num - num_high, num_high])
    assert np.isfinite(shape(scores_S).antimode) == found


def test_a_run_at_the_antimode_is_above_it():
  scores_S = np.repeat([0.0, 0.5, 1.0], [49, 2, 49])
  found = shape(scores_S)
  assert found.antimode == 0.5
  assert found.weight_above == 0.51


@pytest.mark.parametrize(
  ("scores", "expected", "tolerance"),
  [
    (np.zeros(5), 0, 0),
    (np.ones(5), 1, 0),
    (np.concatenate([np.zeros(20), RNG.normal(0.7, 0.05, 12)]), 0, 0.01),
    (np.concatenate([np.zeros(8), RNG.normal(0.7, 0.05, 24)]), 0.7, 0.05),
    (RNG.normal(0.4, 0.05, 400), 0.4, 0.03),
  ],
)
def test_the_mode_is_where_most_seeds_are(scores, expected, tolerance):
  found = shape(scores).mode
  assert abs(found - expected) <= tolerance
  assert shape(1 - scores).mode == pytest.approx(1 - found, abs=1e-9)


def test_the_antimode_is_where_the_true_density_is_lowest():
  weight, low, high, deviation = 0.3, 0.3, 0.7, 0.07
  truth = lambda x: (
    (1 - weight) * stats.norm.pdf(x, low, deviation)
    + weight * stats.norm.pdf(x, high, deviation)
  )
  expected = optimize.minimize_scalar(truth, bounds=(low, high)).x
  scores_S = two_clusters(
    np.random.default_rng(2), 2800, 1200, low, high, deviation
  )
  assert shape(scores_S).antimode == pytest.approx(expected, abs=0.02)
  shifted = shape(10 * scores_S - 40, REAL).antimode
  assert shifted == pytest.approx(10 * expected - 40, abs=0.2)


@pytest.mark.parametrize(
  "scores",
  [
    np.zeros(10),
    stats.norm.ppf((np.arange(100) + 0.5) / 100, 0.5, 0.1),
    # An atom at 0 and then a density that only falls.
    np.maximum(stats.norm.ppf((np.arange(100) + 0.5) / 100, 0.05, 0.15), 0),
    # One run, however far from the others, is no mode.
    np.append(np.linspace(0.2, 0.3, 50), 0.9),
    stats.binom.ppf((np.arange(100) + 0.5) / 100, 11, 0.3) / 11,
  ],
)
def test_one_mode_has_no_antimode(scores):
  found = shape(scores)
  assert np.isnan([found.antimode, found.weight_above]).all()


@pytest.mark.parametrize("far", [0.3, 1.0])
def test_an_antimode_lies_between_runs_or_is_none(far):
  """Populations far from 0 with a narrow kernel."""
  rng = np.random.default_rng(7)
  for scale in (0.001, 0.01, 0.05):
    for _ in range(8):
      x = np.clip(far - scale * rng.exponential(size=40), 0, 1)
      found = shape(x)
      assert np.isnan(found.antimode) or x.min() < found.antimode < x.max()
      mirrored = shape(1 - x).antimode
      assert mirrored == pytest.approx(1 - found.antimode, nan_ok=True)


@pytest.mark.parametrize(("num_high", "stable"), [(30, True), (46, False)])
def test_a_mode_is_unstable_if_the_second_peak_is_within_a_fifth(
  num_high, stable
):
  quantile = lambda num: stats.norm.ppf((np.arange(num) + 0.5) / num) * 0.05
  scores_S = np.concatenate(
    [0.25 + quantile(100 - num_high), 0.75 + quantile(num_high)]
  )
  found = shape(scores_S)
  assert found.mode_stable == stable
  assert found.mode == pytest.approx(0.25, abs=0.01)


def test_resampled_modes_are_those_of_scipys_weighted_density():
  rng = np.random.default_rng(3)
  scores_S = two_clusters(rng, 22, 18, deviation=0.1)
  index_RS = rng.integers(40, size=(20, 40))
  sample = Sample.of(scores_S, REAL, 0)
  mode_R = modes.resampled_modes(sample, index_RS)
  width = density.bandwidth(sample)
  at_G, _ = density.density(sample)
  for index_S, found in zip(index_RS, mode_R):
    kde = stats.gaussian_kde(
      scores_S[index_S],
      bw_method=lambda k, s=index_S: width / np.std(scores_S[s], ddof=1),
    )
    # The density is looked at every quarter of a bandwidth.
    assert kde(found)[0] == pytest.approx(kde(at_G).max(), rel=0.01)
  assert len(set(mode_R)) > 1


@pytest.mark.parametrize("support", [UNIT, REAL])
def test_the_sample_itself_has_the_mode_of_the_scores(support):
  for scores_S in (two_clusters(RNG, 30, 20), RNG.binomial(11, 0.2, 90) / 11):
    sample = Sample.of(scores_S, support)
    index_RS = np.arange(scores_S.size)[None]
    found = modes.mode_and_antimode(sample)
    # It is looked for every quarter of a bandwidth.
    near = density.bandwidth(sample) / 4
    np.testing.assert_allclose(
      modes.resampled_modes(sample, index_RS), found.mode, atol=near
    )


def test_runs_without_a_score_have_no_mode():
  with pytest.raises(ValueError, match="no run has a finite score"):
    modes.mode_and_antimode(Sample.of([np.nan]))
