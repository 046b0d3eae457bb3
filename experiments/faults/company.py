"""What other processes and people do to a sweep: share it, and stop it."""

import signal
import time
from functools import partial

from experiments import trial as trial_lib
from experiments.faults import midway
from experiments.faults.case import Case, Found, flaws_of_finished, told
from experiments.trial import Trial


def _second_process(trial: Trial) -> Found:
  workdir = trial.new("two")
  first = trial.start(workdir)
  midway.until(first, lambda: bool(midway.saved_blocks(workdir)))
  second = trial.start(workdir)
  outcomes = [first.end(), second.end()]
  flaws = [f"exit {o.code}: {o.last_line}" for o in outcomes if o.code != 0]
  flaws += trial.flaws(workdir) + trial.trained_twice(workdir)
  shares = trial_lib.seeds_of_runs(workdir)
  return Found(f"both exit 0 and trained {shares} seeds", flaws)


def _killed_shard(trial: Trial) -> Found:
  workdir = trial.new("shards")
  flags = [(f"--devices={trial.devices}", f"--shard={i}/2") for i in range(2)]
  first, second = (trial.start(workdir, *f) for f in flags)
  # Then both have blocks in training.
  midway.until(
    first, lambda: len(midway.saved_blocks(workdir)) == 2 * trial.devices
  )
  killed = first.kill()
  flaws = [] if killed.code == -9 else ["the first had ended before the kill"]
  lost = trial_lib.ends_without_records(workdir)
  outcomes = [second.end(), trial.run(workdir, *flags[0])]
  flaws += [f"exit {o.code}: {o.last_line}" for o in outcomes if o.code != 0]
  flaws += trial.flaws(workdir) + trial.trained_twice(workdir, lost)
  steps = midway.steps_gone_on_from(workdir)
  if not steps:
    flaws.append("no block of the first went on from its checkpoint")
  return Found(
    "both exit 0; blocks of the first went on from step"
    f" {', '.join(map(str, steps)) or 'none'}",
    flaws,
  )


def _stopped(trial: Trial, number: signal.Signals) -> Found:
  workdir = trial.new(f"stopped-{number.name}")
  process = trial.start(workdir)
  midway.until(process, lambda: bool(midway.saved_blocks(workdir)))
  running = {e.block for e in trial_lib.events(workdir) if e.what == "begin"}
  start = time.monotonic()
  outcome = process.kill(number)
  seconds = time.monotonic() - start
  flaws = []
  if outcome.code != 75:
    flaws.append(f"exit code {outcome.code}, not 75")
  if seconds > 10:
    flaws.append("it took more than 10 s")
  seen = len(trial_lib.events(workdir))
  flaws += flaws_of_finished(trial, workdir, trial.run(workdir))
  flaws += trial.trained_twice(workdir)
  later = trial_lib.events(workdir)[seen:]
  if again := [e for e in later if e.what == "begin" and e.block in running]:
    flaws.append(f"{again[0].block} began again")
  steps = midway.steps_gone_on_from(workdir, seen)
  if not steps or min(steps) == 0:
    flaws.append(f"no block went on from a step above 0: {steps}")
  return Found(
    f"{told(trial, outcome)}, {seconds:.1f} s after the signal; went on from"
    f" step {', '.join(map(str, steps))}",
    flaws,
  )


def _other_devices(trial: Trial) -> Found:
  import pandas as pd

  workdir = trial.new("devices")
  process = trial.start(workdir)
  midway.until(process, lambda: bool(trial_lib.records_of(workdir)))
  # Those of the blocks that have their records are gone by then.
  midway.until(process, lambda: not midway.saved_blocks(workdir))
  midway.until(process, lambda: bool(midway.saved_blocks(workdir)))
  stopped = process.kill(signal.SIGTERM)
  flaws = [] if stopped.code == 75 else [f"exit code {stopped.code}, not 75"]
  before = trial_lib.records_of(workdir)
  seen = len(trial_lib.events(workdir))
  outcome = trial.run(workdir, "--devices=1")
  if outcome.code != 0:
    flaws.append(f"exit code {outcome.code}")
  if before.items() - trial_lib.records_of(workdir).items():
    flaws.append("finished records changed")
  steps = midway.steps_gone_on_from(workdir, seen)
  if not steps:
    flaws.append("no block went on from its checkpoint")
  key = ["width", "depth", "seed", "step", "test_length"]
  found, expected = (
    pd.read_parquet(folder / "records").set_index(key).sort_index()
    for folder in (workdir, trial.folder / "undisturbed")
  )
  if not found.index.equals(expected.index):
    return Found(told(trial, outcome), [*flaws, "rows differ"])
  at_start = found.index.get_level_values("step") == 0
  if not found[at_start].equals(expected[at_start]):
    flaws.append("seeds begin otherwise")
  same = (found["nll_sum"] == expected["nll_sum"]).mean()
  return Found(
    f"{told(trial, outcome)}; went on from step {', '.join(map(str, steps))};"
    f" {same:.0%} of the rows are bit-equal to those of {trial.devices}"
    " devices",
    flaws,
  )


CASES = {
  "second-process": Case(
    "the same command a second time while the first runs",
    "it trains the free blocks, then waits; no block is trained twice",
    _second_process,
  ),
  "killed-shard": Case(
    "kill -9 of one of two shards, and the same command again",
    "its blocks go on from their checkpoints, the other shard is untouched",
    _killed_shard,
  ),
  "sigterm": Case(
    "SIGTERM while training",
    "exit 75 within 10 s; goes on from that step",
    partial(_stopped, number=signal.SIGTERM),
  ),
  "sigint": Case(
    "SIGINT (Ctrl-C) while training",
    "exit 75 within 10 s; goes on from that step",
    partial(_stopped, number=signal.SIGINT),
  ),
  "devices": Case(
    "begun on several devices, continued on one",
    "finishes; what was finished stays",
    _other_devices,
  ),
}
