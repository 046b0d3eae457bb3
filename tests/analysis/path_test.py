import numpy as np


def test_paths_say_which_way(pick, say):
  (split,) = pick("path")
  (smooth,) = pick("path", "smooth")
  assert split.sentence.endswith(
    "than as if all runs had moved partway between them."
  )
  assert smooth.sentence == (
    "group smooth, exact match: at every size in between, the scores look more"
    " as if all runs had moved partway between those at 1 and 7 than like a"
    " mixture of them."
  )
  assert sum(split.numbers["verdicts"].values()) == 5
  rng = np.random.default_rng(5)
  assert say([rng.random(9) for _ in range(4)], "path") == [
    "with fewer than 30 runs at a scale it is not tested whether scales in"
    " between mix the first and last distribution or all runs moved partway."
  ]
