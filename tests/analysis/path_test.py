import numpy as np


def test_paths_say_which_way(pick, say):
  (split,) = pick("path")
  (smooth,) = pick("path", "smooth")
  assert split.sentence.endswith(
    "a mixture of those at 1 and 7 than like all runs moving along."
  )
  assert smooth.sentence == (
    "group smooth, exact match: at every size in between, the scores look more"
    " like all runs moving along between those at 1 and 7 than like a mixture."
  )
  assert sum(split.numbers["verdicts"].values()) == 5
  rng = np.random.default_rng(5)
  assert say([rng.random(9) for _ in range(4)], "path") == [
    "with fewer than 30 runs at a scale it is not tested whether scales between"
    " mix the scores of the first and the last, or all runs moved along."
  ]
