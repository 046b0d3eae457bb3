import re

import numpy as np
import pytest
from scipy import stats


def test_abruptness_is_that_of_the_raw_scores(two_groups, pick):
  (finding,) = pick("abruptness", "smooth")
  frame = two_groups.table.frame.query(
    "group == 'smooth' and metric == 'exact_match'"
  )
  by_scale = frame.groupby("scale")["score"]
  jumps = []
  for value_N in (
    by_scale.mean(),
    by_scale.apply(lambda s: (s >= 0.2).mean()),
  ):
    jumps.append(np.abs(np.diff(value_N)).max() / np.ptp(value_N))
  text = finding.sentence
  assert f"mean {jumps[0]:.2f}, success probability {jumps[1]:.2f}" in text
  numbers = finding.numbers
  difference = numbers["mode"] - jumps[1]
  shown = f"{difference:.2f}".replace("-", "−")
  assert f"mode less success probability {shown}, in resamples (" in text
  assert "covers less than 95 %" in text
  assert numbers["difference_low"] <= difference <= numbers["difference_high"]


def test_abruptness_of_single_seeds_has_no_interval(say):
  (text,) = say([[0.1], [0.15], [0.9]], "abruptness")
  assert re.search(r"success probability [−\d.]+\. For two clusters", text)
  # Of two scales, or without any change, there is nothing to tell.
  assert not say([[0.1], [0.9]], "abruptness")
  assert not say([[0.5]] * 3, "abruptness")


def test_the_best_seeds_and_those_without_rank_are_told(two_groups, pick):
  for group in ("split", "smooth"):
    (finding,) = pick("trajectories", group)
    frame = two_groups.table.frame.query(
      f"group == '{group}' and metric == 'exact_match'"
    )
    table = frame.pivot(index="seed", columns="scale", values="score").dropna()
    y_SN = table.to_numpy()
    step_SN = np.diff(y_SN, axis=1)
    size_S = np.ptp(y_SN, axis=1) * np.sign(y_SN.argmax(1) - y_SN.argmin(1))
    for name, measure_S in (
      ("finite breakthroughness", size_S / np.sqrt(np.median(step_SN**2, 1))),
      ("linearity", size_S / np.sqrt(np.mean(step_SN**2, 1))),
    ):
      s = int(measure_S.argmax())
      assert (
        f"the highest {name} is {measure_S[s]:.3g}, of seed {table.index[s]}"
      ) in finding.sentence
  (finding,) = pick("trajectories")
  assert "no score at some scale: 2 of 40 seeds" in finding.sentence


def test_infinite_and_constant_seeds_are_counted(say):
  leap = [0.0] * 4 + [0.9] * 3
  slow = np.linspace(0, 1, 7)
  cells = np.stack([leap, leap, [0.3] * 7, slow], axis=1)
  (text,) = say(list(cells), "trajectories")
  assert text == (
    "the highest finite breakthroughness is 6, of seed 3; the highest linearity"
    " is 6, of seed 3; infinite breakthroughness, as most steps are 0: 2 of 4"
    " seeds; no change at all: 1 of 4 seeds."
  )
  (text,) = say(list(cells[:5]), "trajectories")
  assert text.startswith("5 scales are too few to rank seeds, which needs 6;")


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
    "seeds of one index do alike at different scales: mean rank correlation"
    f" {rank:.2f}, p = 0.0099. Highest of all seeds"
  )
  assert text.endswith(meaning)
  assert "join runs" not in text
  strangers = [rng.permutation(cell) for cell in alike]
  (text,) = say(strangers, "pairing")
  assert "are not seen to do alike" in text
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
  assert f"cannot be said: {why}" in text
