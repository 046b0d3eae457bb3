"""Tables and progress as lines of text, for terminals and logs."""

import datetime
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emergence.config import axes_of, axis_text, cell_config

if TYPE_CHECKING:
  from emergence.config import Config
  from emergence.population.compilation import Program
  from emergence.population.hardware import Device
  from emergence.population.topology import Plan
  from emergence.sweep.estimate import Estimate
  from emergence.sweep.pending import CellStatus
  from emergence.sweep.sweep import Progress


def format_summary(rows: Sequence[dict[str, Any]]) -> str:
  """The table of cells printed after a sweep, from rows of `summarize`."""
  first = rows[0]
  axes = axes_of(first)
  steps = {row["step"] for row in rows}
  after = f" after {first['step']} steps" if len(steps) == 1 else ""
  title = (
    f"{first['metric'].replace('_', ' ')} at test length"
    f" {first['test_length']}{after}, over seeds"
  )
  threshold = f"share ≥ {first['success_threshold']:.0%}"
  header = [*axes, "params", "seeds", "mean", "mode"]
  header += [threshold, "95 % interval", "seeds by tenth, [0, .1) to [.9, 1]"]
  has_diverged = any(row["n_diverged"] for row in rows)
  if has_diverged:
    header.append("diverged")
  body = []
  for row in rows:
    body.append(
      [
        *(axis_text(row[axis]) for axis in axes),
        f"{row['num_params']:,}",
        str(row["n_seeds"]),
        format_score(row["mean"]),
        format_score(row["mode"]),
        row["success_text"],
        f"{row['success_low']:.2f}–{row['success_high']:.2f}",
        " ".join(f"{count:3d}" for count in row["seeds_by_tenth"]),
      ]
    )
    if has_diverged:
      body[-1].append(str(row["n_diverged"]))
  return f"\n{title}\n{align(header, body)}\n"


def format_estimates(
  config: "Config",
  estimates: Sequence["Estimate"],
  devices: Sequence["Device"],
) -> str:
  """The table of estimates that a dry run prints."""
  if not estimates:
    return "nothing left to train: all of these seeds have records"
  header = ["cell", "params", "seeds", "memory per block", "time"]
  body = [
    [
      str(e.cell),
      f"{e.num_params:,}",
      str(e.num_seeds),
      "not compiled"
      if e.bytes_per_block is None
      else f"{e.bytes_per_block / 2**20:,.0f} MiB",
      "does not fit"
      if e.seconds is None
      else ("" if e.is_measured else "~ ") + format_seconds(e.seconds),
    ]
    for e in estimates
  ]
  seconds = [e.seconds for e in estimates if e.seconds is not None]
  num_unfit = len(estimates) - len(seconds)
  all_steps = {cell_config(config, e.cell).train.steps for e in estimates}
  steps = " or ".join(map(str, sorted(all_steps)))
  notes = [
    f"{steps} steps per seed, blocks of {config.seeds.block} seeds,"
    f" {len(devices)} × {devices[0].device_kind}",
  ]
  if seconds:
    which = "cells that fit" if num_unfit else "all cells"
    notes.append(
      f"{which}: {format_seconds(sum(seconds))}, compilation not included"
    )
  if num_unfit:
    notes.append("cells that do not fit in memory need a smaller seeds.block")
  if not all(e.is_measured for e in estimates if e.seconds is not None):
    notes.append(
      "~ not measured, but extrapolated from a smaller cell in proportion to"
      " floating-point operations"
    )
  return "\n".join([align(header, body), *notes])


def format_plans(
  plans: Sequence["Plan"],
  topology: str,
  devices: Sequence["Device"],
) -> str:
  """The table of plans that a dry run for a TPU topology prints."""
  header = ["cell", "params", "seeds", "fit", "memory", "even", "compiled in"]
  header += ["GFLOP", "GB", "bound", "ms", "hours"]
  body = [
    [
      *(str(p.cell), f"{p.num_params:,}", str(p.num_seeds), str(p.block)),
      *(f"{p.bytes_per_device / 2**30:.1f} GiB", str(p.even_block)),
      format_seconds(p.compile_seconds),
      *(f"{p.flops / 1e9:.3g}", f"{p.bytes / 1e9:.3g}", p.bound),
      *(f"{1e3 * p.seconds:.3g}", f"{p.hours:.3g}"),
    ]
    for p in plans
  ]
  libraries = ", ".join(
    f"{name} {importlib.metadata.version(name)}" for name in ("jax", "libtpu")
  )
  return "\n".join(
    [
      align(header, body),
      f"{topology}: {len(devices)} × {devices[0].device_kind}; {libraries};"
      f" {datetime.date.today()}",
      "fit: the largest seeds.block that fits on a chip; memory: of that block;"
      " even: the seeds.block that divides the seeds evenly over the chips and"
      " over as many rounds; GFLOP, GB, ms: for one step of one seed; GB"
      " includes operands of Pallas kernels; bound: what limits a step; ms and"
      " hours: what the chip's peak rates allow for these counts, in even"
      " blocks",
      f"all cells: {sum(p.hours for p in plans):.3g} hours of all"
      f" {len(devices)} chips at peak rates; twice as long is a good result",
    ]
  )


def format_status(rows: Sequence["CellStatus"]) -> str:
  """The table of each cell's finished, running and missing seeds."""
  header = ["cell", "done", "in training", "missing", "trained by"]
  body = [
    [
      str(row.cell),
      *map(str, (row.done, row.training, row.missing)),
      ", ".join(dict.fromkeys(map(str, row.holders))),
    ]
    for row in rows
  ]
  return align(header, body)


def format_progress(progress: "Progress", index: int, num_cells: int) -> str:
  """One line about a cell in training; the index counts from 1."""
  cell = progress.cell
  axes = " ".join(f"{name} {axis_text(value)}" for name, value in cell.axes)
  first = progress.seeds_done + 1
  last = progress.seeds_done + progress.seeds_running
  line = (
    f"[{index}/{num_cells}] {cell.task} {axes}"
    f"  seeds {first}–{last} of {progress.seeds_total}"
    f"  step {progress.step}/{progress.steps}"
  )
  if progress.seed_steps_per_second:
    line += (
      f"  {progress.seed_steps_per_second:.0f} seed-steps/s"
      f"  {format_seconds(progress.seconds_left)} left"
    )
  return line


def format_budget(seconds: Mapping[str, float]) -> str:
  """The seconds by phase as a line: 5:12 min: compile 4 %, train 93 %, …"""
  total = sum(seconds.values())
  after = total - seconds["compile"]
  parts = [
    f"{phase} {100 * part / max(total, 1e-9):.0f} %"
    for phase, part in seconds.items()
  ]
  return (
    f"{format_seconds(total)}: {', '.join(parts)}; training takes"
    f" {100 * seconds['train'] / max(after, 1e-9):.1f} % of the time after"
    " compilation"
  )


def format_plan(program: "Program", budget: int) -> str:
  """One line about the blocks that train together and the memory they need.

  Args:
    program: the compiled cell that needs most memory.
    budget: bytes that may be used on each device or, if CPUs, on the host.
  """
  return (
    f"memory: {program.num_blocks} × {program.config.seeds.block} seeds train"
    f" at a time; each block of {program.config.seeds.block} needs at most"
    f" {program.bytes_per_device / 2**20:,.0f} MiB ({program.cell});"
    f" {budget / 2**30:,.1f} GiB may be used"
  )


def format_score(score: float | None) -> str:
  """A score with two decimals, a dash where there is none."""
  return "–" if score is None else f"{score:.2f}"


def format_seconds(seconds: float) -> str:
  """A duration for people: 45 s, 3:20 min, 5:07 h."""
  whole = round(seconds)
  if whole < 60:
    return f"{whole} s"
  if whole < 3600:
    return f"{whole // 60}:{whole % 60:02d} min"
  return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def align(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
  """A table of right-aligned columns; `body` has one sequence per row."""
  widths = [
    max(len(row[i]) for row in [header, *body]) for i in range(len(header))
  ]
  return "\n".join(
    "  ".join(
      text.rjust(width) for text, width in zip(row, widths, strict=True)
    )
    for row in [header, *body]
  )
