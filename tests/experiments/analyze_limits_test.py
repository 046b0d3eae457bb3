"""A large analysis, which two processes share, stays small."""

import os
import pathlib
import re
import subprocess
import time

import numpy as np
import pandas as pd
import pytest

from tests.mains import ROOT, sweep_command


def peak_bytes(pid: int) -> int:
  """Most memory that a process has held so far; 0 where that is not told."""
  try:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
  except OSError:
    return 0
  found = re.search(r"VmHWM:\s+(\d+) kB", status)
  return 1024 * int(found[1]) if found else 0


@pytest.mark.slow
def test_an_analysis_of_24_scales_takes_less_than_two_gigabytes(tmp_path):
  rng = np.random.default_rng(0)
  rows = []
  for n in range(24):
    high_S = rng.random(250) < n / 23
    score_S = np.clip(
      np.where(high_S, 0.8, 0.02) + rng.normal(0, 0.1, 250), 0, 1
    )
    rows.append(
      pd.DataFrame(
        {
          "params": 1000 * (n + 1),
          "run": np.arange(250),
          "accuracy": score_S,
          "nll": -np.log(score_S + 0.01) + rng.exponential(0.1, 250),
        }
      )
    )
  pd.concat(rows).to_parquet(tmp_path / "scores.parquet")
  command = sweep_command(
    f"--records={tmp_path / 'scores.parquet'}",
    *(f"--out={tmp_path / 'out'}", "--resamples=1000"),
    *("--scale_column=params", "--seed_column=run"),
    *("--score_column=accuracy", "--score_column=nll"),
    *("--lower_is_better=nll", "--threshold=nll=1"),
    main="analyze",
  )
  with subprocess.Popen(
    command,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    cwd=ROOT,
  ) as process:
    # What the system reports at its end includes the peak of these tests.
    peak = 0
    while process.poll() is None:
      peak = max(peak, peak_bytes(process.pid))
      time.sleep(0.02)
    assert (process.returncode, process.stderr.read()) == (0, b"")
  assert peak < 2e9
  assert len(pd.read_csv(tmp_path / "out" / "summary.csv")) == 24 * 2
