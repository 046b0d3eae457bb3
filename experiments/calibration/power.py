"""Estimates how often a cell's split would be shown with some number of seeds.

  python -m experiments.calibration.power --records=DIR --sizes=32,64,128

Draws samples from the smoothed scores of a cell and labels each one, as
`emergence.statistics.modality` does. Prints the share of samples in which a
separation is shown. The level is that of the first step of Holm's correction
over `--num_scales`: as if no other scale had shown anything.

On seeds that no result rests on, it tells how many seeds a study needs. The
numbers of seeds in the configs were chosen in this way. For the quickstart:

  python -m experiments.sweep --config=quickstart --override=grid.depths=[2] \\
      --override=seeds.count=256 --override=seeds.first=10000 --workdir=DIR
  python -m experiments.calibration.power --records=DIR --sizes=54 \\
      --num_scales=3
"""

import numpy as np
from absl import flags

from emergence import tables
from emergence.analysis.series import series_of
from emergence.statistics import density, modality
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample
from experiments import command


def smoothed(rng: np.random.Generator, sample: Sample, size: int) -> np.ndarray:
  """Draws scores from the kernel density of a sample, [S].

  As in `density.density`, scores are reflected half a spacing of the score grid
  beyond the ends of the support. Then they are rounded to the grid.

  Args:
    rng: source of randomness.
    sample: the seeds. Diverged ones are left out.
    size: number S of scores to draw.
  """
  score_S = rng.choice(sample.require_finite_S(), size)
  score_S = score_S + rng.normal(size=size) * density.bandwidth(sample)
  (low, high), step = sample.support, sample.grid_step
  least, most = low - step / 2, high + step / 2
  score_S = np.where(score_S < least, 2 * least - score_S, score_S)
  score_S = np.where(score_S > most, 2 * most - score_S, score_S)
  if step:
    origin = low if np.isfinite(low) else 0.0
    score_S = origin + np.round((score_S - origin) / step) * step
  return np.clip(score_S, low, high)


def power(
  sample: Sample,
  threshold: float | None,
  size: int,
  num_scales: int,
  num: int,
  seed: int,
) -> float:
  """The share of samples of `size` seeds in which a separation is shown.

  Args:
    sample: the seeds whose smoothed scores are drawn from.
    threshold: of a success, as `modality.label` takes it.
    size: seeds in each sample.
    num_scales: the level of the test is the default alpha over this number.
    num: number of samples.
    seed: of the samples.
  """
  rng = np.random.default_rng([seed, size])
  options = Options(alpha=Options().alpha / num_scales)
  num_shown = 0
  for _ in range(num):
    drawn = sample._replace(scores_S=smoothed(rng, sample, size))
    found = modality.label(drawn, options, threshold)
    num_shown += found.label != "not_shown"
  return num_shown / num


def main(
  records: str, sizes: list[int], num_scales: int, num: int, seed: int
) -> None:
  """Prints a row for each scale of the first metric and group."""
  series, *_ = series_of(tables.read(records), Options())
  num_scales = num_scales or len(series.populations)
  print(
    f"share of {num} samples in which a split in {series.metric_name} is shown,"
    f" at a level of {Options().alpha:g} / {num_scales}"
  )
  print(*(f"{text:>8}" for text in (series.axis, "of", *sizes)))
  for population in series.populations:
    sample = population.sample
    shares = [
      power(sample, series.flipped_threshold, size, num_scales, num, seed)
      for size in sizes
    ]
    print(
      f"{population.name:>8} {sample.finite_S.size:>8}",
      *(f"{share:>8.3f}" for share in shares),
    )


if __name__ == "__main__":
  RECORDS = flags.DEFINE_string("records", None, "Work directory.")
  SIZES = flags.DEFINE_list("sizes", ["32", "64", "128"], "Numbers of seeds.")
  NUM_SCALES = flags.DEFINE_integer(
    "num_scales",
    0,
    "Scales that are tested; 0: those of the records.",
    lower_bound=0,
  )
  SAMPLES = flags.DEFINE_integer(
    "samples", 1000, "Samples of each size.", lower_bound=1
  )
  SEED = flags.DEFINE_integer("seed", 0, "Seed of the samples.", lower_bound=0)

  def run() -> None:
    command.require_flags("records")
    if not all(text.isdecimal() and int(text) for text in SIZES.value):
      raise ValueError(
        f"--sizes expects a list such as 32,64, got {SIZES.value}"
      )
    sizes = [int(text) for text in SIZES.value]
    main(str(RECORDS.value), sizes, NUM_SCALES.value, SAMPLES.value, SEED.value)

  command.run(run)
