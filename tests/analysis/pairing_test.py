import numpy as np
import pytest
from scipy import stats

from tests.computed import ACCURACY, ask, holm


def test_pairing_is_told_where_so_many_seeds_could_show_it(say):
  rng = np.random.default_rng(6)
  skill_S = rng.random(30)
  alike = [
    np.clip(skill_S / 2 + 0.05 * n + rng.normal(0, 0.02, 30), 0, 1)
    for n in range(7)
  ]
  ranks = [
    stats.spearmanr(alike[a], alike[b])[0] for a in range(7) for b in range(a)
  ]
  assert say(alike, "pairing") == [
    "scores of one seed index are correlated across scales (mean rank"
    f" correlation {np.mean(ranks):.2f}; pairs of scales from {min(ranks):.2f}"
    f" to {max(ranks):.2f})."
  ]
  strangers = [rng.permutation(cell) for cell in alike]
  (text,) = say(strangers, "pairing")
  assert "are not shown to be correlated" in text
  # 3! orders have p >= 1/6.
  (text,) = say([rng.random(3) for _ in range(2)], "pairing")
  assert text.startswith("3 seeds are too few to show whether")
  # 4! orders have p >= 1/24, which is above .05 after correction for a second.
  few = [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]]
  (text,) = say(few, "pairing")
  assert "are not shown to be correlated" in text
  for text in say({("a", ACCURACY): few, ("b", ACCURACY): few}, "pairing"):
    assert text.startswith("4 seeds are too few to show whether")


def test_groups_are_corrected_for_together(make_table):
  rng = np.random.default_rng(0)
  skill_S = np.arange(12) / 20
  scores = {
    (group, ACCURACY): [
      share * skill_S + 0.2 * rng.random(12) for _ in range(3)
    ]
    for group, share in (("a", 0.5), ("b", 0.2), ("c", 0.1))
  }
  analysis = ask(make_table(scores), "pairing")
  found = [series.answers["pairing"] for series in analysis.series]
  assert [x.p_adjusted for x in found] == pytest.approx(
    holm([x.p for x in found])
  )
  assert any(x.p_adjusted > x.p for x in found)
