import numpy as np

from tests.computed import ACCURACY, ask, read_csv, rounded


def test_a_path_over_scales_of_unlike_grids_is_judged_on_the_coarsest(
  make_table,
):
  items = (1000, 10, 10)
  cells = rounded((0.25, 0.5, 0.75), items)
  table = make_table({("g", ACCURACY): cells}, num_items=items)
  (path,) = ask(table, "path").series[0].answers["path"]
  assert path.verdict == "displacement"


def test_paths_say_which_way(pick, say):
  (split,) = pick("path")
  (smooth,) = pick("path", "smooth")
  mixture = "a mixture of those at 1 and 7 than like all runs moving along."
  assert split.sentence.endswith(mixture)
  assert smooth.sentence == (
    "group smooth, exact match: at every size in between, the scores look more"
    " like all runs moving along between those at 1 and 7 than like a mixture."
  )
  (nll,) = pick("path", metric="nll")
  assert nll.sentence.endswith(mixture)
  assert sum(split.numbers["verdicts"].values()) == 5
  rng = np.random.default_rng(5)
  assert say([rng.random(9) for _ in range(4)], "path") == [
    "with fewer than 30 runs at a scale it is not tested whether scales between"
    " mix the scores of the first and the last, or all runs moved along."
  ]
  # Beyond both ends.
  cells = [rng.normal(m, 0.02, 60) for m in (0.2, 0.9, 0.3)]
  (text,) = say(cells, "path")
  assert text == (
    "at size 2 the scores look neither like a mixture of those at 1 and 3 nor"
    " as if all runs moved along together."
  )


def test_paths_stand_beside_the_scale_that_they_are_of(written, two_groups):
  frame = read_csv(written["paths.csv"])
  assert len(frame) == 4 * 5
  for series in two_groups.series:
    own = frame.query(
      f"group == '{series.group[0]}' and metric == '{series.metric.name}'"
    )
    assert own["scale"].tolist() == [2, 3, 4, 5, 6]
    assert own["verdict"].tolist() == [
      p.verdict for p in series.answers["path"]
    ]
    assert (own["mixture_share"].diff().dropna() > -1e-9).all()
  split = frame.query("group == 'split' and metric == 'exact_match'")
  assert set(split["verdict"]) <= {"mixture", "undecided"}
  np.testing.assert_allclose(
    split["mixture_share"], np.arange(1, 6) / 6, atol=0.05
  )
  smooth = frame.query("group == 'smooth' and metric == 'exact_match'")
  assert "mixture" not in set(smooth["verdict"])
  np.testing.assert_allclose(
    smooth["displacement_share"], np.arange(1, 6) / 6, atol=0.05
  )
