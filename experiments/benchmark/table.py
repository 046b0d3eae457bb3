"""Rows of the benchmark as a Markdown table."""

from collections.abc import Sequence
from typing import Any

_HEADER = ["side", "seed-steps/s", "ratio", "range", "peak", "compile"]


def format_tables(rows: Sequence[dict[str, Any]]) -> str:
  """A table for each shape, with aligned columns.

  Args:
    rows: with the keys of the benchmark's README.
  """
  parts = []
  for shape in dict.fromkeys(row["shape"] for row in rows):
    of_shape = [row for row in rows if row["shape"] == shape]
    peak = of_shape[0]["gemm_flops_per_second"] / 1e9
    title = f"**{shape}**, matrix products at {peak:.0f} GFLOP/s"
    parts.append(f"{title}\n\n{_align([_HEADER, *map(_cells, of_shape)])}")
  return "\n\n".join(parts)


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


def _cells(row: dict[str, Any]) -> list[str]:
  seconds = row["compile_seconds"]
  return [
    row["side"] + (f", {row['seeds']} seeds" if row["side"] == "ours" else ""),
    f"{row['seed_steps_per_second']:.4g}",
    f"{row['ratio']:.2f}",
    f"{row['ratio_low']:.2f}–{row['ratio_high']:.2f}",
    f"{row['peak_fraction']:.1%}",
    "–" if seconds is None else f"{seconds:.1f} s",
  ]
