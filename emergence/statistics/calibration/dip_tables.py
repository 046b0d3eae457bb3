"""Makes the tables of the dip test that the package carries.

    nice python -m emergence.statistics.calibration.dip_tables

`dip_null.csv`: √S·dip of 10⁶ uniform samples of each size, at selected ranks
(some 15 minutes on one core). `dip_power.csv`: for each size and weight of the
minor of two normal modes 5 standard deviations apart, the p-value that 80 % of
such samples stay at or below (a minute). Seed and versions are in the first
line of each file.
"""

import argparse
import datetime
import importlib.metadata
import pathlib
import time

import numpy as np

from emergence.statistics import dip

SIZES = (
  *range(4, 21),
  *(22, 25, 28, 32, 36, 40, 45, 50, 56, 64, 72, 80, 90, 100, 112, 128, 144),
  *(160, 180, 200, 225, 250, 280, 320, 400, 500, 640, 800, 1000, 1400, 2000),
  *(3000, 5000),
)
WEIGHTS = (
  *(0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2, 0.225, 0.25, 0.275, 0.3),
  *(0.35, 0.4, 0.45, 0.5),
)
_CHUNK = 2_000_000  # Numbers in memory at a time.


def ranks(draws: int) -> np.ndarray:
  """About 120 ranks of 1 to `draws`, dense where the dip is large, [K]."""
  upper = np.geomspace(1, draws, 110)
  lower = draws * np.array([0.7, 0.8, 0.9, 0.93, 0.96, 0.98, 0.99, 0.999])
  return np.unique(np.rint(np.concatenate([upper, lower])).astype(int))


def null_column(size: int, draws: int, seed: int) -> np.ndarray:
  """√S·dip of uniform samples of one size, at `ranks(draws)`, [K]."""
  rng = np.random.default_rng([seed, size])
  parts = []
  for start in range(0, draws, chunk := max(1, _CHUNK // size)):
    sample_RS = rng.random((min(chunk, draws - start), size))
    parts.append(dip.dips(sample_RS))
  descending = -np.sort(-np.concatenate(parts))
  return np.sqrt(size) * descending[ranks(draws) - 1]


def write_null(file: pathlib.Path, sizes, draws: int, seed: int) -> None:
  """Writes a table for `dip.null_table`: sizes across, ranks down."""
  columns = []
  for size in sizes:
    start = time.perf_counter()
    columns.append(null_column(size, draws, seed))
    print(f"size {size}: {time.perf_counter() - start:.1f} s", flush=True)
  rows = np.column_stack([ranks(draws), *columns])
  lines = [f"# sqrt(S)*dip of uniform samples, {draws} a size; {stamp(seed)}"]
  lines.append("0," + ",".join(str(size) for size in sizes))
  for row in rows:
    lines.append(f"{row[0]:.0f}," + ",".join(f"{v:.6f}" for v in row[1:]))
  file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def minor_mode(
  rng: np.random.Generator, num: int, size: int, weight: float, distance: float
) -> np.ndarray:
  """Samples of two normal modes, the minor of which has that weight, [R, S].

  Args:
    rng: source of randomness.
    num: number of samples R.
    size: runs in each, S.
    weight: probability that a run is in the upper mode.
    distance: of the two means, in standard deviations of each mode.
  """
  upper_RS = rng.random((num, size)) < weight
  return rng.normal(size=(num, size)) + distance * upper_RS


def power_cell(size: int, weight: float, num: int, seed: int) -> float:
  """The p-value that 80 % of samples of two modes stay at or below."""
  rng = np.random.default_rng([seed, size, round(1000 * weight)])
  sample_RS = minor_mode(rng, num, size, weight, dip.MODE_DISTANCE)
  dip_at = np.quantile(dip.dips(sample_RS), 1 - dip.POWER)
  return dip.p_value(float(dip_at), size)


def write_power(file: pathlib.Path, sizes, num: int, seed: int) -> None:
  """Writes a table for `dip.detectable_weight`: weights across."""
  lines = [
    f"# p that {dip.POWER:.0%} of {num} samples of two normal modes, "
    f"{dip.MODE_DISTANCE:g} sd apart, stay at or below; {stamp(seed)}",
    "0," + ",".join(str(weight) for weight in WEIGHTS),
  ]
  for size in sizes:
    row = [power_cell(size, weight, num, seed) for weight in WEIGHTS]
    lines.append(f"{size}," + ",".join(f"{p:.3g}" for p in row))
  file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def stamp(seed: int) -> str:
  """Seed, versions and day: what it takes to make a table again."""
  versions = ", ".join(
    f"{name} {importlib.metadata.version(name)}"
    for name in ("numpy", "diptest")
  )
  return f"seed {seed}, {versions}, {datetime.date.today()}"


def main(argv: list[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description="Makes the tables of the dip.")
  parser.add_argument("--out", type=pathlib.Path, default=dip.TABLES)
  parser.add_argument("--draws", type=int, default=1_000_000)
  parser.add_argument("--samples", type=int, default=5000)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument(
    "--power_only", action="store_true", help="keep dip_null.csv"
  )
  args = parser.parse_args(argv)
  if not args.power_only:
    write_null(args.out / "dip_null.csv", SIZES, args.draws, args.seed)
    dip.null_table.cache_clear()
  write_power(args.out / "dip_power.csv", SIZES, args.samples, args.seed)


if __name__ == "__main__":
  main()
