import collections

from scipy import stats

from emergence.tasks import make_task
from tests.list_tasks import config_of, samples


def test_the_solver_on_an_example():
  solve = make_task(config_of("mode")).solve
  assert solve("$ 4 1 4 >".split()) == "4 .".split()


def test_a_list_has_one_mode_and_its_place_tells_nothing():
  firsts, lasts = [], []
  for x in samples("mode"):
    (mode, most), *others = collections.Counter(x).most_common()
    assert all(count < most for _, count in others)
    if len(x) == 5:
      firsts.append(x[0] == mode)
      lasts.append(x[-1] == mode)
  counts = [[sum(hits), len(hits) - sum(hits)] for hits in (firsts, lasts)]
  assert stats.chi2_contingency(counts).pvalue > 1e-3
