"""What an analysis found, in sentences that carry their numbers."""

from collections.abc import Callable, Iterator

from emergence.analysis import (
  distribution_findings,
  success_findings,
  trend_findings,
)
from emergence.analysis.finding import Finding
from emergence.analysis.series import Analysis, Series


def findings(analysis: Analysis) -> list[Finding]:
  """All statements, by group and metric, in the order of questions."""
  writers: list[Callable[[Analysis, Series], Iterator[Finding]]] = [
    success_findings.success,
    distribution_findings.differences,
    distribution_findings.modality,
    distribution_findings.path,
    trend_findings.abruptness,
    trend_findings.trajectories,
    trend_findings.pairing,
    success_findings.small_studies,
    success_findings.threshold,
    success_findings.items,
    success_findings.divergence,
  ]
  found = []
  for series in analysis.series:
    for writer in writers:
      found += writer(analysis, series)
  return found + list(distribution_findings.metrics(analysis))
