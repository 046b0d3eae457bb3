import numpy as np
import pytest

from emergence.tables.score_table import Metric
from tests.computed import ACCURACY, analyze_one


def test_item_noise_is_told_where_items_were_drawn(make_table):
  rng = np.random.default_rng(3)
  items = Metric("exact_match", 0.0, 1.0, "share of items", True)
  cells = [rng.binomial(50, rng.beta(5, 5, 200)) / 50]
  ask = lambda **fields: analyze_one(
    make_table, items, cells, kinds=["items"], **{"num_items": 50.0} | fields
  ).answers["items"]
  (share,) = ask()
  # Beta(5, 5): between seeds 1/44, within 50 items (1/4 − 1/44)/50.
  within = (0.25 - 1 / 44) / 50
  assert share == pytest.approx(within / (within + 1 / 44), rel=0.2)
  for fields in ({"items_enumerated": True}, {"num_items": np.nan}):
    assert ask(**fields) == [None]


def test_item_noise_is_never_more_than_all(say):
  items = ACCURACY._replace(unit="share of items")
  rng = np.random.default_rng(9)
  cells = [rng.binomial(10, 0.5, 30) / 10]
  (text,) = say({("g", items): cells}, "items", num_items=10.0)
  score_S = cells[0]
  part = (score_S * (1 - score_S)).mean() / 9 / score_S.var(ddof=1)
  assert f"makes an estimated {min(part, 1):.0%} of the variance" in text
  assert not say({("g", items): [cells[0][:9]]}, "items", num_items=10.0)
  even = [np.array([0.4, 0.5] * 10)]
  (text,) = say({("g", items): even}, "items", num_items=10.0)
  assert "makes an estimated 100% of the variance" in text
