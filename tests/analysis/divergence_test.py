import numpy as np

from tests.computed import ACCURACY, NLL, analyze_one, scales


def test_a_scale_at_which_every_seed_diverged_is_a_failure_and_no_more(
  make_table,
):
  rng = np.random.default_rng(5)
  cells = [rng.random(12), np.full(12, np.nan), rng.random(12)]
  found = analyze_one(make_table, ACCURACY, cells)
  assert scales(found)[1].success.diverged_fail.num_successes == 0
  assert scales(found)[1].success.diverged_left_out is None
  assert scales(found)[1].modality.label == "not_shown"
  assert found.answers["distance"] is found.answers["abruptness"] is None
  assert found.answers["path"] == []
  assert found.answers["trajectories"].shape.num_incomplete == 12


def test_divergence_is_told_with_and_without(pick, say):
  (finding,) = pick("divergence")
  # Of scale 2 one seed has no score; the one of scale 7 has a high one.
  assert finding.numbers == {"num_diverged": 2}
  assert finding.sentence.startswith(
    "group split, exact match: 2 of 80 runs diverged at size 2 and 7 and count"
    " as failures; without them the share of successes at 2 would be"
  )
  assert not pick("divergence", "smooth")
  # No share of few runs.
  assert say([[np.nan], [0.9]], "divergence") == [
    "1 of 1 run diverged at size 1 and counts as a failure."
  ]
  (text,) = say({("g", NLL): [[np.nan, 1.0], [1.0, 2.0]]}, "divergence")
  assert text == "1 of 2 runs diverged at size 1 and is left out."
