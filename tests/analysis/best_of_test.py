import math

from tests.computed import NLL, low_high


def test_the_sentence_is_about_the_scale_that_it_flatters_most(say):
  # Best of five: .85 unless all five are at .05, drawn without replacement.
  miss = math.comb(25, 5) / math.comb(50, 5)
  (text,) = say([low_high(50, 0), low_high(25, 25), low_high(0, 50)], "best_of")
  assert text.startswith(
    "at size 2 the best of 5 seeds is expected to score"
    f" {0.85 - 0.8 * miss:.2f} ("
  )
  (text,) = say({("g", NLL): [low_high(25, 25)]}, "best_of")
  assert f"expected to score {0.05 + 0.8 * miss:.2f} (" in text


def test_nothing_is_said_of_few_or_equal_runs(say):
  assert not say([[0.1, 0.9] * 4], "best_of")
  assert not say([[0.5] * 20], "best_of")
