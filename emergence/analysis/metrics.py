"""Whether a scale with two modes in one metric has them in the others."""

from collections.abc import Iterator, Sequence

from emergence.analysis.question import Finding, Question
from emergence.analysis.series import Analysis, Population, Series


def compute(several: Sequence[Series]) -> list[None]:
  """Nothing: it compares the answers about modality."""
  return [None] * len(several)


def overall(analysis: Analysis) -> Iterator[Finding]:
  by_group: dict[tuple, list[Series]] = {}
  for series in analysis.series:
    by_group.setdefault(series.group, []).append(series)
  for group, several in by_group.items():
    cells: dict[float, list[tuple[Series, Population, bool]]] = {}
    for series in several:
      labels = series.answers["modality"].labels
      for p, label in zip(series.populations, labels, strict=True):
        found = (series, p, label.label == "bimodal")
        cells.setdefault(p.scale, []).append(found)
    for scale, found in sorted(cells.items()):
      split = [series for series, _, is_bimodal in found if is_bimodal]
      others = [series for series, _, is_bimodal in found if not is_bimodal]
      if not split or len(found) < 2:
        continue
      series, population, _ = found[0]
      first, *agreeing = (s.metric_name for s in split)
      text = f"two modes are detected in {first}"
      if agreeing:
        text += f" and in {', '.join(agreeing)}"
      if others:
        text += f", not in {', '.join(s.metric_name for s in others)}"
      where = series.scale_name(population)
      if series.group_name:
        where = f"{series.group_name}, {where}"
      yield Finding(
        "metrics",
        group,
        "",
        f"{where}: {text}.",
        {
          "scale": scale,
          "bimodal": [s.metric.name for s in split],
          "other": [s.metric.name for s in others],
        },
      )


QUESTION = Question(
  "metrics", "Whether another metric agrees", compute, overall=overall
)
