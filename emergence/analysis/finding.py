"""One statement, with the numbers that it rests on."""

from typing import Any, NamedTuple

from emergence.analysis.series import Analysis, Series
from emergence.analysis.words import group_name, metric_name


class Finding(NamedTuple):
  """One statement.

  Attributes:
    kind: `success`, `difference`, `modality`, `metrics`, `path`, `abruptness`,
      `pairing`, `trajectories`, `small_studies`, `threshold`, `items` or
      `divergence`.
    group: values of the table's group columns; empty for all.
    metric: name of the metric; empty for all.
    sentence: the statement.
    numbers: what it rests on, by name.
  """

  kind: str
  group: tuple
  metric: str
  sentence: str
  numbers: dict[str, Any]


def of_series(
  analysis: Analysis, kind: str, series: Series, sentence: str, **numbers: Any
) -> Finding:
  """A statement about one series, under its name.

  Args:
    analysis: the analysis.
    kind: as in `Finding`.
    series: what it is about.
    sentence: without its full stop.
    **numbers: what it rests on.
  """
  where = group_name(analysis, series)
  where = f"{where}, {metric_name(series)}" if where else metric_name(series)
  return Finding(
    kind, series.group, series.metric.name, f"{where}: {sentence}.", numbers
  )
