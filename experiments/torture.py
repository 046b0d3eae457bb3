"""Kills, damages and starves small sweeps, and compares what they leave.

  python -m experiments.torture --workdir=DIR

Each sweep is a process of `experiments.sweep`, and whatever is done to it is
done for real. Its records have to be those of a sweep that nothing disturbed,
byte for byte; they name the commit, so commit nothing meanwhile. Some cases
need root (to mount small file systems) or `faketime`, and are reported as not
run without. Exits with 1 if anything is not as expected. Takes ten minutes on
two cores, with --short two.
"""

import contextlib
import os
import pathlib
import random
import tempfile
import textwrap
import time
from collections.abc import Iterator
from typing import NamedTuple

from absl import flags

from experiments import command, kills, trial
from experiments.faults.case import Found, NotPossible
from experiments.faults.catalogue import CASES

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder for all of it; a temporary one if not given."
)
_KILLS = flags.DEFINE_integer(
  "kills", 50, "How many times to kill -9 at least.", lower_bound=1
)
_ONLY = flags.DEFINE_list(
  "only", [], "Names of the cases to run, with commas; default all."
)
_SHORT = flags.DEFINE_bool(
  "short", False, "Only a few kills and the cases that tell most."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments of kills.")
_JSON = flags.DEFINE_string(
  "json", None, "File to write the rows of the table to, as a list of objects."
)

_KILLED = "kill"
_SHORT_CASES = [_KILLED, "checkpoint-flipped", "records-flipped", "sigterm"]


class Row(NamedTuple):
  """A row of the table.

  Attributes:
    name: of the case.
    done: what was done to the sweep.
    expected: what was to come of it.
    happened: what did.
    seconds: wall time.
    ok: whether it was as expected; None if it could not be done here.
  """

  name: str
  done: str
  expected: str
  happened: str
  seconds: float
  ok: bool | None


def main() -> int:
  command.require_writable(_JSON.value)
  names = [_KILLED, *CASES]
  if unknown := set(_ONLY.value) - set(names):
    raise ValueError(
      f"--only: no case {min(unknown)!r}; there are {', '.join(names)}"
    )
  wanted = _ONLY.value or (_SHORT_CASES if _SHORT.value else names)
  with _folder() as folder:
    print("training what nothing disturbs", flush=True)
    bench = trial.prepare(folder, 2, _SHORT.value)
    rows = []
    for name in names:
      if name in wanted:
        rows.append(_row(bench, name))
        print(_format(rows[-1]), flush=True)
  command.write_json(_JSON.value, [row._asdict() for row in rows])
  failed = [row.name for row in rows if row.ok is False]
  skipped = [row.name for row in rows if row.ok is None]
  print(
    f"{len(rows) - len(failed) - len(skipped)} as expected,"
    f" {len(failed)} not ({', '.join(failed) or 'none'}),"
    f" {len(skipped)} not run ({', '.join(skipped) or 'none'})"
  )
  return 1 if failed else 0


@contextlib.contextmanager
def _folder() -> Iterator[pathlib.Path]:
  """Where all of it takes place; removed at the end if nobody named it."""
  if _WORKDIR.value:
    yield pathlib.Path(_WORKDIR.value).absolute()
    return
  with tempfile.TemporaryDirectory(prefix="torture-") as name:
    yield pathlib.Path(name)


def _row(bench: trial.Trial, name: str) -> Row:
  start = time.monotonic()
  if name == _KILLED:
    done, expected = (
      "kill -9, at random and at the worst moments",
      "each time the same command goes on; no block is trained twice",
    )
    found = _kill(bench)
  else:
    done, expected, run = CASES[name]
    try:
      found = run(bench)
    except NotPossible as reason:
      return Row(
        *(name, done, expected, f"not run: {reason}"),
        *(time.monotonic() - start, None),
      )
  happened = "; ".join([found.happened, *map("FLAW: {}".format, found.flaws)])
  return Row(
    *(name, done, expected, happened),
    *(round(time.monotonic() - start, 1), not found.flaws),
  )


def _kill(bench: trial.Trial) -> Found:
  num, least = (6, 1) if _SHORT.value else (_KILLS.value, _KILLS.value // 8)
  result = kills.kill_again_and_again(
    bench,
    num,
    least,
    random.Random(_SEED.value),
    lambda line: print(f"  {line}", flush=True),
  )
  flaws = list(result.flaws)
  for moment in (kills.CHECKPOINT, kills.RECORDS):
    if result.moments.get(moment, 0) < least:
      flaws.append(f"too few kills while {moment}")
  moments = sorted(result.moments.items(), key=lambda item: -item[1])
  return Found(
    f"{sum(result.moments.values())} kills over {result.sweeps} sweeps:"
    f" {', '.join(f'{count} {moment}' for moment, count in moments)};"
    f" {result.ends_lost} blocks lost their last updates",
    flaws,
  )


def _format(row: Row) -> str:
  state = {True: "ok", False: "NOT AS EXPECTED", None: "not run"}[row.ok]
  head = f"{row.name:22}{state:16}{row.seconds:6.1f} s"
  width = max(60, min(120, _columns()))
  return "\n".join(
    [
      head,
      *(
        textwrap.fill(
          f"{label:9} {text}",
          width,
          initial_indent="  ",
          subsequent_indent=" " * 12,
          break_long_words=False,
        )
        for label, text in [
          ("done", row.done),
          ("expected", row.expected),
          ("happened", row.happened),
        ]
      ),
    ]
  )


def _columns() -> int:
  try:
    return os.get_terminal_size().columns
  except OSError:
    return 100


if __name__ == "__main__":
  command.run(main)
