"""Damage to the files of a sweep: checkpoints, records and config.json."""

import os
import pathlib
import shutil
from collections.abc import Callable
from functools import partial

from experiments import trial as trial_lib
from experiments.faults import midway
from experiments.faults.case import Case, Found, flaws_of_finished, told
from experiments.trial import Outcome, Trial


def _checkpoint(trial: Trial, spoil: Callable[[pathlib.Path], None]) -> Found:
  workdir = midway.half_trained(trial)
  before, last = midway.two_checkpoints(workdir)
  spoil(max(_files(last), key=lambda path: path.stat().st_size))
  outcome, flaws = _goes_on_from(trial, before)
  if str(last) not in outcome.errors:
    flaws.append("no warning names the checkpoint")
  return Found(
    f"{told(trial, outcome)}; went on from step {int(before.name)} instead of"
    f" {int(last.name)}",
    flaws,
  )


def _stray_step(trial: Trial) -> Found:
  workdir = midway.half_trained(trial)
  _, last = midway.two_checkpoints(workdir)
  (last.parent / f"{trial.steps - 1:08d}").mkdir()
  outcome, flaws = _goes_on_from(trial, last)
  return Found(
    f"{told(trial, outcome)}; went on from step {int(last.name)}", flaws
  )


def _goes_on_from(
  trial: Trial, checkpoint: pathlib.Path
) -> tuple[Outcome, list[str]]:
  """Runs a sweep, which is to find this checkpoint of a block."""
  workdir = checkpoint.parents[5]
  seen = len(trial_lib.events(workdir))
  outcome = trial.run(workdir)
  flaws = flaws_of_finished(trial, workdir, outcome)
  block = checkpoint.parent.relative_to(workdir / "checkpoints")
  events = [
    event
    for event in trial_lib.events(workdir)[seen:]
    if f"{event.cell}/seeds-{event.first:06d}-{event.last:06d}" == str(block)
  ]
  if not events or (events[0].what, events[0].step) != (
    "go on",
    int(checkpoint.name),
  ):
    flaws.append(f"it does not go on from {checkpoint.name}, but {events[:1]}")
  return outcome, flaws


def _records(trial: Trial, spoil: Callable[[pathlib.Path], None]) -> Found:
  workdir = midway.half_trained(trial)
  path = sorted(workdir.glob("records/*/*/*/*.parquet"))[0]
  spoil(path)
  spoiled = path.read_bytes()
  report = trial.run(workdir, main="report")
  outcome = trial.run(workdir)
  flaws = flaws_of_finished(trial, workdir, outcome)
  if path.name not in outcome.errors or "is corrupt" not in outcome.errors:
    flaws.append("no warning names the file")
  if spoiled not in [p.read_bytes() for p in _files(workdir / "damaged")]:
    flaws.append("the corrupt file is gone")
  flaws += _flaws_of_report(report, path.name)
  return Found(f"{told(trial, outcome)}; the file is in damaged/", flaws)


def _config(trial: Trial, spoil: Callable[[pathlib.Path], None]) -> Found:
  workdir = midway.half_trained(trial)
  path = workdir / "config.json"
  config = path.read_bytes()
  spoil(path)
  report = trial.run(workdir, main="report")
  outcome = trial.run(workdir)
  flaws = flaws_of_finished(trial, workdir, outcome)
  if path.read_bytes() != config:
    flaws.append("config.json is not what it was")
  said = outcome.errors + (workdir / "log").read_text()
  if "config.json was missing" not in said and "config.json is c" not in said:
    flaws.append("neither log nor stderr tell of it")
  flaws += _flaws_of_report(report, path.name)
  return Found(f"{told(trial, outcome)}; config.json is back", flaws)


def _flaws_of_report(report: Outcome, name: str) -> list[str]:
  """Of one that was asked for before the sweep mended the file."""
  if report.is_clear_error and name in report.last_line:
    return []
  return [f"the report before did not name it: {report.last_line}"]


def _foreign_records(trial: Trial) -> Found:
  workdir = midway.half_trained(trial)
  other = trial.new("other")
  outcome = trial.run(
    other,
    f"--devices={trial.devices}",
    *("--override=train.weight_decay=0.5", "--override=seeds.count=4"),
    *("--override=grid.depths=[1]", "--override=train.steps=20"),
  )
  if outcome.code != 0:
    return Found(outcome.last_line, ["the other sweep failed"])
  (path,) = other.glob("records/*/*/*/*.parquet")
  place = workdir / path.relative_to(other)
  ours = place.read_bytes() if place.exists() else None
  place.parent.mkdir(parents=True, exist_ok=True)
  shutil.copy(path, place)
  before = {p: p.read_bytes() for p in _files(workdir)}
  outcome = trial.run(workdir)
  flaws = []
  if not outcome.is_clear_error or path.name not in outcome.last_line:
    flaws.append("no clear line names the file")
  if outcome.code != 2:
    flaws.append("the exit code is not 2")
  if before != {p: p.read_bytes() for p in _files(workdir)}:
    flaws.append("something was changed")
  place.unlink()
  if ours is not None:
    place.write_bytes(ours)
  flaws += flaws_of_finished(trial, workdir, trial.run(workdir))
  return Found(f"{told(trial, outcome)}; finished once it was gone", flaws)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  return [path for path in folder.rglob("*") if path.is_file()]


def _halve(path: pathlib.Path) -> None:
  os.truncate(path, path.stat().st_size // 2)


def _flip_a_bit(path: pathlib.Path) -> None:
  content = bytearray(path.read_bytes())
  # Of records, the footer is longer than the columns, and not all of it counts.
  content[len(content) // 20] ^= 16
  path.write_bytes(content)


CASES = {
  "checkpoint-truncated": Case(
    "the latest checkpoint of a block ends in the middle",
    "a warning; the block goes on from the checkpoint before",
    partial(_checkpoint, spoil=_halve),
  ),
  "checkpoint-flipped": Case(
    "one bit of the latest checkpoint is flipped",
    "a warning; the block goes on from the checkpoint before",
    partial(_checkpoint, spoil=_flip_a_bit),
  ),
  "checkpoint-stray": Case(
    "an empty folder named like a later step",
    "it is passed over",
    _stray_step,
  ),
  "records-half": Case(
    "half a Parquet file under the final name",
    "a warning; moved to damaged/ and trained again",
    partial(_records, spoil=_halve),
  ),
  "records-flipped": Case(
    "one bit of finished records is flipped",
    "a warning; moved to damaged/ and trained again",
    partial(_records, spoil=_flip_a_bit),
  ),
  "config-missing": Case(
    "config.json is deleted",
    "a line in the log; it is written again",
    partial(_config, spoil=pathlib.Path.unlink),
  ),
  "config-truncated": Case(
    "config.json ends in the middle",
    "a warning; moved to damaged/ and written again",
    partial(_config, spoil=lambda path: os.truncate(path, 100)),
  ),
  "records-foreign": Case(
    "records of another experiment among ours",
    "exit 2, one line; nothing changes; finishes once they are gone",
    _foreign_records,
  ),
}
