"""Which runs diverged, and how they change the success probability."""

from collections.abc import Iterator, Sequence

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series
from emergence.statistics.options import MIN_RUNS


def compute(several: Sequence[Series]) -> list[None]:
  """Returns None per series: findings read `Population.diverged_S`."""
  return [None] * len(several)


def findings(series: Series) -> Iterator[Finding]:
  hit = [p for p in series.populations if p.diverged_S.any()]
  if not hit:
    return
  num = sum(int(p.diverged_S.sum()) for p in hit)
  where = f" {series.at(hit)}"
  if len(hit) == len(series.populations) > 1:
    where = f", counted over all {len(hit)} scales,"
  text = (
    f"{num} of {words.count(sum(p.sample.size for p in hit), 'run')} diverged"
    f"{where}"
  )
  found = series.answers["success"]
  if found is None:
    text += f" and {'is' if num == 1 else 'are'} left out"
  else:
    text += " and counts as a failure" if num == 1 else " and count as failures"
  worst = max(hit, key=lambda p: p.diverged_S.mean())
  if found is not None and worst.finite_S.size >= MIN_RUNS:
    at_worst = found[series.populations.index(worst)].success
    text += (
      f"; without them the share of successes at {worst.name} would be"
      f" {at_worst.diverged_left_out.probability:.2f} instead of"
      f" {at_worst.diverged_fail.probability:.2f}"
    )
  yield finding("divergence", series, text, num_diverged=num)


QUESTION = Question(
  "divergence", "Which runs diverged?", compute, findings=findings
)
