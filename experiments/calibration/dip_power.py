"""Makes the table of the dip test's power that the package carries.

  python -m experiments.calibration.dip_power

It has, for each number of runs and each weight of the minor of two normal modes
5 standard deviations apart, the p-value that 80 % of such samples stay at or
below. A minute on one core. Seed and versions are in the first line of the
file, emergence/statistics/data/dip_power.csv.
"""

import datetime
import importlib.metadata
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags

from emergence.statistics import dip
from experiments import command

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


def minor_mode(
  rng: np.random.Generator, num: int, size: int, weight: float, distance: float
) -> np.ndarray:
  """Draws samples from two normal modes, the upper of weight `weight`, [R, S].

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
  """The p-value that 80 % of `num` samples of two modes stay at or below."""
  rng = np.random.default_rng([seed, size, round(1000 * weight)])
  sample_RS = minor_mode(rng, num, size, weight, dip.MODE_DISTANCE)
  dip_at = np.quantile(dip.dips(sample_RS), 1 - dip.POWER)
  return dip.p_value(float(dip_at), size)


def main(
  file: pathlib.Path, num: int, seed: int, sizes: Sequence[int] = SIZES
) -> None:
  """Writes a table for `dip.detectable_weight`: weights across, sizes down."""
  versions = ", ".join(
    f"{name} {importlib.metadata.version(name)}"
    for name in ("numpy", "diptest")
  )
  lines = [
    f"# p that {dip.POWER:.0%} of {num} samples of two normal modes, "
    f"{dip.MODE_DISTANCE:g} sd apart, stay at or below; seed {seed}, "
    f"{versions}, {datetime.date.today()}",
    "0," + ",".join(str(weight) for weight in WEIGHTS),
  ]
  for size in sizes:
    row = [power_cell(size, weight, num, seed) for weight in WEIGHTS]
    lines.append(f"{size}," + ",".join(f"{p:.3g}" for p in row))
  file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
  OUT = flags.DEFINE_string("out", str(dip.POWER_TABLE), "File to write.")
  SAMPLES = flags.DEFINE_integer(
    "samples", 5000, "Samples of each size and weight.", lower_bound=1
  )
  SEED = flags.DEFINE_integer("seed", 0, "Seed of the samples.", lower_bound=0)
  command.run(lambda: main(pathlib.Path(OUT.value), SAMPLES.value, SEED.value))
