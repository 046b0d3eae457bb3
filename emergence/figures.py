"""Figures, each a function of records."""

import io
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from etils import epath
from matplotlib.figure import Figure

from emergence.records import write_atomically
from emergence.statistics import modality, success, summary

if TYPE_CHECKING:
  import pandas as pd

_FILL, _LINE, _POINTS = "#9ecae1", "#08519c", "#08306b"
# Steps of the golden ratio spread points evenly, and the same way every time.
_GOLDEN = 0.6180339887498949


def ridgeline(frame: "pd.DataFrame", test_length: int) -> Figure:
  """Distribution over seeds of the final exact match, one ridge a cell.

  Each ridge is the density of `modality.density`, scaled to its own peak; the
  points under it are the seeds.

  Args:
    frame: records, as `emergence.records.read` returns them.
    test_length: the test length to show.
  """
  cells = summary.final_cells(frame, test_length)
  (task, first_width, _), first_cell = cells[0]
  one_width = len({width for (_, width, _), _ in cells}) == 1
  threshold = success.DEFAULT_THRESHOLD
  figure = Figure(figsize=(6.0, 1.3 + 0.85 * len(cells)), layout="constrained")
  axes = figure.subplots()
  for row, (_, cell) in enumerate(cells):
    base = len(cells) - 1 - row
    scores_S = cell["exact_match"].to_numpy(float)
    at_G, density_G = modality.density(scores_S)
    ridge_G = base + 0.62 * density_G / density_G.max()
    axes.fill_between(at_G, base, ridge_G, color=_FILL, linewidth=0)
    axes.plot(at_G, ridge_G, color=_LINE, linewidth=1.2)
    spread_S = (np.arange(scores_S.size) * _GOLDEN) % 1.0
    axes.plot(
      scores_S,
      base - 0.06 - 0.16 * spread_S,
      "o",
      color=_POINTS,
      markersize=2.6,
      alpha=0.55,
      markeredgewidth=0,
      clip_on=False,
    )
    share = success.success_probability(scores_S, threshold).probability
    axes.text(1.06, base + 0.06, f"{share:.0%}", ha="left", fontsize=9)
  axes.axvline(threshold, color="0.35", linestyle=":", linewidth=1)
  axes.text(
    1.06, len(cells) - 0.12, f"seeds ≥ {threshold:.0%}", fontsize=9, ha="left"
  )
  axes.set_yticks(
    range(len(cells) - 1, -1, -1),
    [
      f"depth {d}" if one_width else f"width {w}, depth {d}"
      for (_, w, d), _ in cells
    ],
  )
  axes.set_xlim(-0.03, 1.03)
  axes.set_ylim(-0.3, len(cells) - 0.2)
  axes.set_xlabel(f"exact match at length {test_length}, one point a seed")
  counts = sorted({len(cell) for _, cell in cells})
  seeds = " to ".join(str(n) for n in sorted({counts[0], counts[-1]}))
  where = f"width {first_width}, " if one_width else ""
  axes.set_title(
    f"{task}, {where}{seeds} seeds a scale, {first_cell['step'].max()} steps",
    fontsize=10,
    loc="left",
  )
  axes.tick_params(axis="y", length=0)
  axes.spines[["top", "right", "left"]].set_visible(False)
  return figure


def save(figure: Figure, path: epath.Path) -> None:
  """Writes a figure as PNG at 200 dots an inch, and as SVG beside it.

  A file that holds the same bytes already is not written again.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  # No date and no random names: the same records draw the same bytes.
  with matplotlib.rc_context({"svg.hashsalt": path.stem}):
    for suffix in (".png", ".svg"):
      buffer = io.BytesIO()
      metadata = {"Date": None} if suffix == ".svg" else {}
      figure.savefig(buffer, format=suffix[1:], dpi=200, metadata=metadata)
      file, content = path.with_suffix(suffix), buffer.getvalue()
      if not file.exists() or file.read_bytes() != content:
        write_atomically(file, content)
