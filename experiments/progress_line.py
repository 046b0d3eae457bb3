"""How far a sweep is, on stdout and in its log."""

import logging
import sys
import time
from collections.abc import Sequence

from emergence.config import Cell
from emergence.sweep import console
from emergence.sweep.sweep import Progress

_SECONDS_BETWEEN_LINES = 10.0


class ProgressLine:
  """One line a cell: rewritten on a terminal, now and then a line elsewhere."""

  def __init__(self, cells: Sequence[Cell]):
    self._cells = list(cells)
    self._is_terminal = sys.stdout.isatty()
    self._last_printed = time.monotonic()

  def __call__(self, progress: Progress) -> None:
    line = console.format_progress(
      progress, self._cells.index(progress.cell) + 1, len(self._cells)
    )
    logging.getLogger("emergence").info(line)
    ends_cell = (
      progress.step == progress.steps
      and progress.seeds_done + progress.seeds_running == progress.seeds_total
    )
    now = time.monotonic()
    if self._is_terminal:
      print(f"\r\033[K{line}", end="\n" if ends_cell else "", flush=True)
    elif ends_cell or (
      progress.seed_steps_per_second
      and now - self._last_printed > _SECONDS_BETWEEN_LINES
    ):
      print(line, flush=True)
      self._last_printed = now
