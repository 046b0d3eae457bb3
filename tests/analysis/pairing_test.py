import numpy as np
import pytest
from scipy import stats


def test_pairing_is_told_with_what_an_index_shares(say):
  rng = np.random.default_rng(6)
  skill_S = rng.random(30)
  alike = [
    np.clip(skill_S / 2 + 0.05 * n + rng.normal(0, 0.02, 30), 0, 1)
    for n in range(7)
  ]
  meaning = "At two scales a seed index shares the data stream."
  (text,) = say(alike, "pairing", seed_meaning=meaning)
  rank = np.mean(
    [stats.spearmanr(alike[a], alike[b])[0] for a in range(7) for b in range(a)]
  )
  assert text.startswith(
    "scores of one seed index are correlated across scales: mean rank"
    f" correlation {rank:.2f}, p = 0.0099. Highest of all seeds"
  )
  assert text.endswith(meaning)
  assert "join runs" not in text
  strangers = [rng.permutation(cell) for cell in alike]
  (text,) = say(strangers, "pairing")
  assert "are not seen to be correlated" in text
  assert "may then join runs that have nothing in common" in text
  assert text.endswith("Not known.")


@pytest.mark.parametrize(
  ("cells", "why"),
  [
    ([[0.1], [0.4]], "1 seed has a score at every scale"),
    ([[0.1, 0.2], [0.4, 0.1]], "2 seeds have a score at every scale"),
    ([[0.5] * 5, [0.5] * 5], "seeds differ at fewer than two scales"),
  ],
)
def test_why_pairing_cannot_be_told_is_told(cells, why, say):
  (text,) = say(cells, "pairing")
  assert f"of one index: {why}" in text
