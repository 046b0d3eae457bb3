"""Sweeps that are told to stop; how they share work, shards_test.py has."""

import signal
import time
from functools import partial

from experiments import trial as trial_lib
from experiments.faults import midway
from experiments.faults.case import Case, Found, flaws_of_finished, told
from experiments.trial import Trial


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


CASES = {
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
}
