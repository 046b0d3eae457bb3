"""Rows of the benchmark as text for people."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_COLUMNS = (
  "side", "seed-steps/s", "ratio", "range", "peak", "data", "compile", "MiB",
)  # fmt: skip


def format_tables(rows: Sequence[dict[str, Any]]) -> str:
  """A table of Markdown for each shape, aligned to be read as it is.

  Args:
    rows: with the keys of the benchmark's README.
  """
  parts = []
  for shape in dict.fromkeys(row["shape"] for row in rows):
    of_shape = [row for row in rows if row["shape"] == shape]
    measured = [row for row in of_shape if not row["error"]]
    if measured:
      columns: list[str] = list(_COLUMNS)
      if not any(row["ratio"] for row in measured):
        columns[2:4] = ["spread"]  # Says more than ratios that are not there.
      body = [columns, *(_cells(row, columns) for row in measured)]
      peak = measured[0]["gemm_flops_per_second"] / 1e9
      title = f"**{shape}**, matrix products at {peak:.0f} GFLOP/s"
      parts += [title, "", _align(body), ""]
    if notes := _notes(of_shape):
      parts += [*notes, ""]
  return "\n".join(parts).rstrip()


def finite(value: float) -> float | None:
  """The number, or None where there is none: JSON has no NaN."""
  return value if math.isfinite(value) else None


def _align(body: Sequence[Sequence[str]]) -> str:
  """Rows of a table, the first of them its header, numbers to the right."""
  widths = [max(map(len, column)) for column in zip(*body, strict=True)]
  lines = [
    f"| {line[0].ljust(widths[0])} | "
    + " | ".join(t.rjust(w) for t, w in zip(line[1:], widths[1:], strict=True))
    + " |"
    for line in body
  ]
  rule = [f"{'-' * (width + 1)}:" for width in widths]
  rule[0] = "-" * (widths[0] + 2)
  return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def _cells(row: dict[str, Any], columns: Sequence[str]) -> list[str]:
  memory = row["memory_per_seed_bytes"]
  many = f", {row['seeds']} seeds" if row["side"].startswith("ours") else ""
  low, high = row["ratio_low"], row["ratio_high"]
  cells = {
    "side": row["side"] + many,
    "seed-steps/s": _text(row["seed_steps_per_second"], "{:.4g}"),
    "spread": _text(row["spread"], "{:.0%}"),
    "ratio": _text(row["ratio"], "{:.2f}"),
    "range": "–" if low is None else f"{low:.2f}–{high:.2f}",
    "peak": _text(row["peak_fraction"], "{:.1%}"),
    "data": _text(row["data_fraction"], "{:.1%}"),
    "compile": _text(row["compile_seconds"], "{:.1f} s"),
    "MiB": _text(memory and memory / 2**20, "{:.1f}"),
  }
  return [cells[name] for name in columns]


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
  """What did not run, and how the rate of ours changes with the seeds."""
  lines = []
  errors: dict[str, list[str]] = {}
  for row in rows:
    if row["error"]:
      errors.setdefault(row["error"], []).append(row["side"])
  for error, sides in errors.items():
    lines.append(f"{rows[0]['shape']}: no {', '.join(sides)}: {error}.")
  ours = [row for row in rows if row["side"] == "ours"]
  ours = sorted(ours, key=lambda row: row["seeds"])
  for row in ours[1:]:
    rounds = [np.array(r["rounds"], float) for r in (row, ours[0])]
    ratios = rounds[0] / rounds[1]
    ratios = ratios[np.isfinite(ratios)]
    if not ratios.size:
      continue
    lines.append(
      f"{row['shape']}: {row['seeds']} seeds train at {np.median(ratios):.3f}"
      f" times the rate of {ours[0]['seeds']}, by round {ratios.min():.3f} to"
      f" {ratios.max():.3f}."
    )
  return lines


def _text(value: Any, pattern: str) -> str:
  return "–" if value is None else pattern.format(value)
