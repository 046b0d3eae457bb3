import numpy as np
import pandas as pd
import pytest

from emergence import tables
from emergence.analysis import variance_components
from tests.computed import ACCURACY, answers_of, ask, panels

KIND = "variance_components"


def draw(rng, spreads, num_init=16, num_data=16):
  """Scores of two groups, from latent normal parts of the given spreads."""
  init, data, rest = spreads
  latent = (
    init * rng.standard_normal((num_init, 1))
    + data * rng.standard_normal(num_data)
    + rest * rng.standard_normal((num_init, num_data))
  )
  return 1 / (1 + np.exp(-4 * latent))


def labels(num_init, num_data):
  """Of seed = init · num_data + data."""
  return {s: divmod(s, num_data) for s in range(num_init * num_data)}


@pytest.fixture
def answer(make_table):
  def answer(*cells, **fields):
    """Sentences, rows and the analysis of crossed scores, [I, D] by scale."""
    sizes = np.shape(cells[0])
    table = make_table({("g", ACCURACY): [np.ravel(cell) for cell in cells]})
    table = table._replace(**({"init_and_data": labels(*sizes)} | fields))
    analysis = ask(table, KIND)
    return *answers_of(analysis, KIND), analysis

  return answer


def crossed_of(analysis):
  (one,) = analysis.series[0].answers[KIND]
  return one.scores_ID


def test_every_run_stands_under_its_initialization_and_data_order(answer):
  scores_ID = np.arange(12).reshape(3, 4) / 12
  names = {seed: (f"init {i}", j) for seed, (i, j) in labels(3, 4).items()}
  *_, analysis = answer(scores_ID, init_and_data=names)
  np.testing.assert_allclose(crossed_of(analysis), scores_ID)
  # Seeds in another order, and other labels.
  names = {seed: (j, i) for seed, (i, j) in labels(3, 4).items()}
  *_, analysis = answer(scores_ID, init_and_data=names)
  np.testing.assert_allclose(crossed_of(analysis), scores_ID.T)


def test_initializations_that_lack_a_score_are_left_out(answer):
  scores_ID = draw(np.random.default_rng(0), (1, 1, 1), 6, 5)
  scores_ID[2, 3] = np.nan
  _, frame, analysis = answer(scores_ID)
  expected = np.delete(scores_ID, 2, axis=0)
  np.testing.assert_allclose(crossed_of(analysis), expected)
  assert frame[["num_init", "num_data"]].to_numpy().tolist() == [[5, 5]]


@pytest.mark.parametrize(
  "of_seed",
  [lambda seed: (seed, seed), lambda seed: divmod(seed // 2, 3)],
  ids=["paired", "two runs of each"],
)
def test_other_designs_have_no_answer(answer, of_seed):
  scores_ID = draw(np.random.default_rng(0), (1, 1, 1), 6, 6)
  names = {seed: of_seed(seed) for seed in range(36)}
  texts, frame, analysis = answer(scores_ID, init_and_data=names)
  assert not texts
  assert frame.empty
  assert not list(variance_components.sections(analysis))


@pytest.mark.parametrize(
  ("spreads", "sentence"),
  [
    ((1, 0.7, 0.3), "the initialization explains {init} of {all}, the data"),
    (
      (1, 0, 0.3),
      "the initialization explains {init} of {all}; the data order",
    ),
    ((0, 0, 1), "neither the initialization nor the data order alone is"),
  ],
)
def test_the_sentence_names_what_is_shown_to_matter(answer, spreads, sentence):
  (text,), frame, _ = answer(draw(np.random.default_rng(3), spreads))
  (row,) = frame.to_dict("records")
  init = (
    f"{row['init_share']:.0%}"
    f" ({100 * row['init_share_low']:.0f}–{row['init_share_high']:.0%})"
  )
  expected = sentence.format(init=init, all="the variance between runs")
  assert text.startswith(f"exact match: at size 1 {expected}"), text
  for part, spread in zip(("init", "data"), spreads):
    assert (row[f"{part}_p"] <= 0.025) == (spread > 0)


def test_the_sentence_is_about_the_scale_whose_runs_differ_most(answer):
  rng = np.random.default_rng(5)
  wide = draw(rng, (1, 0, 0.3), 8, 8)
  (text,), *_ = answer(0.5 + 0.1 * wide, wide, 0.3 * wide)
  assert "at size 2 the initialization explains" in text
  # Four initializations are too few.
  assert not answer(draw(rng, (1, 1, 1), 4, 16))[0]


def test_the_heat_map_is_sorted_by_means(answer):
  scores_ID = draw(np.random.default_rng(7), (1, 1, 1), 6, 5)
  _, frame, analysis = answer(scores_ID)
  (section,) = variance_components.sections(analysis)
  left, right, *_ = panels(section.figure)
  shown = np.asarray(left.images[0].get_array())
  assert np.sort(shown, axis=None) == pytest.approx(np.sort(scores_ID, None))
  assert (np.diff(shown.mean(axis=1)) <= 0).all()
  assert (np.diff(shown.mean(axis=0)) >= 0).all()
  assert right.lines[0].get_xdata() == pytest.approx(
    frame[["init_share", "data_share", "rest_share"]].to_numpy()[0]
  )


def test_a_file_names_them_in_columns_with_and_without_a_seed(tmp_path):
  scores_ID = draw(np.random.default_rng(8), (1, 0.5, 0.5), 6, 5)
  frame = pd.DataFrame(
    [
      {"init_seed": f"i{i}", "data_seed": j, "score": scores_ID[i, j]}
      for i in range(6)
      for j in range(5)
    ]
  )
  frame.to_csv(tmp_path / "pairs.csv", index=False)
  frame.assign(seed=range(30)).to_csv(tmp_path / "seeds.csv", index=False)
  for name in ("pairs.csv", "seeds.csv"):
    table = tables.read(tmp_path / name)
    assert "unused_columns" not in {issue.kind for issue in table.issues}
    np.testing.assert_allclose(crossed_of(ask(table, KIND)), scores_ID)
  # One index for two runs is none.
  frame = frame.assign(seed=np.arange(30) % 15, group=np.arange(30) // 15)
  frame.to_csv(tmp_path / "reused.csv", index=False)
  table = tables.read(tmp_path / "reused.csv", group_columns=["group"])
  assert table.init_and_data == {}
