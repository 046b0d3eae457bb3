"""A large analysis is quick and small."""

import os
import pathlib
import re
import resource
import subprocess
import time

import numpy as np
import pandas as pd
import pytest

from tests.mains import ROOT, sweep_command


def cpu_seconds_of_children() -> float:
  """Of those that have ended, on all cores."""
  usage = resource.getrusage(resource.RUSAGE_CHILDREN)
  return usage.ru_utime + usage.ru_stime


def cpu_seconds_of_this_machine() -> float:
  """Of a fixed piece of work in numpy and in Python; how slow a core is."""
  start = time.process_time()
  np.sort(np.random.default_rng(0).random((50, 200_000)), axis=1)
  assert sum(i for i in range(5_000_000)) > 0
  return time.process_time() - start


def peak_bytes(pid: int) -> int:
  """Most memory that a process has held so far; 0 where that is not told."""
  try:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
  except OSError:
    return 0
  found = re.search(r"VmHWM:\s+(\d+) kB", status)
  return 1024 * int(found[1]) if found else 0


@pytest.mark.slow
def test_a_full_analysis_takes_seconds_of_two_cores_and_two_gigabytes(tmp_path):
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
          "tokens": np.sqrt(score_S),
          "nll": -np.log(score_S + 0.01) + rng.exponential(0.1, 250),
          "log_prob": 3 * np.log(score_S + 0.01) - rng.exponential(0.3, 250),
        }
      )
    )
  pd.concat(rows).to_parquet(tmp_path / "scores.parquet")
  command = sweep_command(
    f"--records={tmp_path / 'scores.parquet'}",
    *(f"--out={tmp_path / 'out'}", "--resamples=1000"),
    *("--scale_column=params", "--seed_column=run"),
    *("--lower_is_better=nll", "--threshold=nll=1"),
    *("--threshold=log_prob=-5", "--higher_is_better=log_prob"),
    *("--higher_is_better=tokens", "--score_column=accuracy"),
    *("--score_column=tokens", "--score_column=nll", "--score_column=log_prob"),
    main="analyze",
  )
  environment = os.environ | {"JAX_PLATFORMS": "cpu"}
  start, used = time.monotonic(), cpu_seconds_of_children()
  with (
    (tmp_path / "stdout").open("w") as out,
    (tmp_path / "stderr").open("w") as err,
  ):
    process = subprocess.Popen(
      command, stdout=out, stderr=err, env=environment, cwd=ROOT
    )
    # What the system reports at its end includes the peak of these tests.
    peak = 0
    while process.poll() is None:
      peak = max(peak, peak_bytes(process.pid))
      time.sleep(0.02)
  seconds = time.monotonic() - start
  used = cpu_seconds_of_children() - used
  assert (tmp_path / "stderr").read_text() == ""
  assert process.returncode == 0
  print(f"{seconds:.1f} s of wall time, peak {peak / 1e9:.2f} GB")
  assert peak < 2e9
  # CPU time of both processes, however many share the cores: it took 80 times
  # that of the fixed piece of work, where it took 115 times before.
  assert used < 100 * np.median(
    [cpu_seconds_of_this_machine() for _ in range(5)]
  )
  frame = pd.read_csv(tmp_path / "out" / "summary.csv")
  assert len(frame) == 24 * 4
