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
  assert scales(found)[1].mode_shares is None
  assert found.answers["distance"] is found.answers["abruptness"] is None
  assert found.answers["path"] == []
  assert found.answers["trend"].trajectories.num_incomplete == 12


def test_divergence_is_told_with_and_without(pick, say):
  (finding,) = pick("divergence")
  # Of scale 2 one seed has no score; the one of scale 7 has a high one.
  assert finding.numbers == {"num_diverged": 2}
  assert finding.sentence.startswith(
    "group split, exact match: 2 runs diverged, at 2, 7. In the success"
    " probability they are failures; that of 2 is"
  )
  assert finding.sentence.endswith("All else is about the runs that did not.")
  assert not pick("divergence", "smooth")
  cells = [[0.9] * 6 + [np.nan] * 2, [0.9] * 8]
  assert say(cells, "divergence") == [
    "2 runs diverged, at 1. In the success probability they are failures; that"
    " of 1 is 0.75 with them and 1.00 without. All else is about the runs that"
    " did not."
  ]
  cells = [[np.nan], [0.9]]
  assert say(cells, "divergence") == [
    "1 run diverged, at 1. In the success probability they are failures; that"
    " of 1 is 0.00 with them and undefined without, as all diverged. All"
    " else is about the runs that did not."
  ]
  (text,) = say({("g", NLL): [[np.nan, 1.0], [1.0, 2.0]]}, "divergence")
  assert text == (
    "1 run diverged, at 1. All else is about the runs that did not."
  )
