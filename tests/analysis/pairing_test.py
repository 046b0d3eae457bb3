import numpy as np


def test_pairing_is_told_where_so_many_seeds_could_show_it(say):
  rng = np.random.default_rng(6)
  skill_S = rng.random(30)
  alike = [
    np.clip(skill_S / 2 + 0.05 * n + rng.normal(0, 0.02, 30), 0, 1)
    for n in range(7)
  ]
  assert say(alike, "pairing") == [
    "scores of one seed index are correlated across scales."
  ]
  strangers = [rng.permutation(cell) for cell in alike]
  (text,) = say(strangers, "pairing")
  assert "are not seen to be correlated" in text
  # 3! orders have p >= 1/6, (3!)² have p >= 1/36.
  assert not say([[0.1, 0.2, 0.3], [0.4, 0.2, 0.3]], "pairing")
  assert say([[0.1, 0.2, 0.3], [0.4, 0.2, 0.3], [0.1, 0.3, 0.2]], "pairing")
  for cells in ([[0.1], [0.4]], [[0.5] * 5, [0.5] * 5]):
    assert not say(cells, "pairing")
