"""Which runs diverged, and what they do to the success probability."""

from collections.abc import Iterator, Sequence

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series


def compute(several: Sequence[Series]) -> list[None]:
  """Nothing: the populations know their diverged runs."""
  return [None] * len(several)


def findings(series: Series) -> Iterator[Finding]:
  hit = [p for p in series.populations if p.diverged_S.any()]
  if not hit:
    return
  total = sum(int(p.diverged_S.sum()) for p in hit)
  text = f"{words.count(total, 'run')} diverged, {series.at(hit)}"
  if series.answers["success"] is not None:
    worst = max(hit, key=lambda p: p.diverged_S.mean())
    successes = series.answers["success"]
    found = next(
      found.success
      for population, found in zip(series.populations, successes, strict=True)
      if population is worst
    )
    without = found.diverged_left_out
    text += (
      ". In the success probability they are failures; that of"
      f" {worst.name} is {found.diverged_fail.probability:.2f} with them and"
    )
    text += (
      " undefined without, as all diverged"
      if without is None
      else f" {without.probability:.2f} without"
    )
  text += ". All else is about the runs that did not"
  yield finding("divergence", series, text, num_diverged=total)


QUESTION = Question("divergence", "Diverged runs", compute, findings=findings)
