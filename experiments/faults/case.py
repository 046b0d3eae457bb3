"""What a case is: what is done to a sweep, and whether it ends as it should."""

import pathlib
import signal
from collections.abc import Callable
from typing import NamedTuple

from experiments.trial import Outcome, Trial


class NotPossible(Exception):
  """A case that this machine does not allow; the message says why."""


class Found(NamedTuple):
  """What a case saw.

  Attributes:
    happened: for people, in a line.
    flaws: what differs from what was expected.
  """

  happened: str
  flaws: list[str]


class Case(NamedTuple):
  """Something that happens to a sweep.

  Attributes:
    done: what is done to it.
    expected: what is to come of it.
    run: does it.
  """

  done: str
  expected: str
  run: Callable[[Trial], Found]


def flaws_of_finished(
  trial: Trial, workdir: pathlib.Path, outcome: Outcome
) -> list[str]:
  """Why a sweep did not end as one that nothing disturbed."""
  flaws = [] if outcome.code == 0 else [f"exit code {outcome.code}"]
  if outcome.code != 0:
    flaws.append(outcome.last_line)
  if "Traceback" in outcome.errors:
    flaws.append("a traceback on stderr")
  return flaws + trial.flaws(workdir)


def flaws_of_refused(outcome: Outcome, reason: str) -> list[str]:
  """Why a sweep did not end with exit code 1 and one line with the reason."""
  flaws = []
  if not outcome.is_clear_error or outcome.code != 1:
    flaws.append("it did not end with exit code 1 and one clear line")
  if reason not in outcome.last_line:
    flaws.append(f"the line does not say {reason!r}")
  return flaws


def flaws_of_starved(outcome: Outcome) -> list[str]:
  """Why a sweep without memory neither said so in one line nor was aborted."""
  # Native libraries have their own ways to give up, or use what they lack.
  is_aborted = outcome.code in (-signal.SIGABRT, -signal.SIGSEGV) or (
    outcome.code == 1 and outcome.last_line.startswith("OpenBLAS error: Memory")
  )
  if is_aborted and "Traceback" not in outcome.errors:
    return []
  return flaws_of_refused(outcome, "")


def told(trial: Trial, outcome: Outcome) -> str:
  """How a process ended, for people: its exit code and its last line."""
  line = outcome.last_line
  if outcome.code < 0:  # A dump of all threads follows.
    line = outcome.errors.strip().split("\n")[0]
  line = line.replace(str(trial.folder), "…")
  if len(line) > 160:
    line = f"{line[:157]}…"
  return f"exit {outcome.code}" + (f": {line}" if line else "")
