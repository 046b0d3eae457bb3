import numpy as np
from matplotlib.collections import PolyCollection

from emergence.analysis import threshold
from tests.computed import panels, scales


def test_threshold_curves_are_shares_at_or_beyond_each_threshold(two_groups):
  left, _ = panels(threshold.draw(two_groups.of_first_metric))
  lines = [line for line in left.lines if line.get_label().startswith("size")]
  assert len(lines) == 7
  score_S = scales(two_groups.series[0])[3].population.sample.scores_S
  x, y = lines[3].get_data()
  np.testing.assert_allclose(y, (score_S >= x[:, None] - 1e-6).mean(axis=1))
  (band,) = [c for c in left.collections if isinstance(c, PolyCollection)]
  low, high = band.get_paths()[0].get_extents().get_points()[:, 1]
  assert (low, high) == (0, 1)
  assert 0.2 in [line.get_xdata()[0] for line in left.lines]
