import errno
import io
import itertools
import os
import sys

import numpy as np
import pandas as pd
import pytest
from absl import flags
from etils import epath

from emergence import tables
from emergence.analysis import output, questions
from emergence.config import Cell
from emergence.population import hardware
from emergence.report import sweep_sections
from emergence.report.page import write_page
from emergence.statistics.options import Options
from emergence.storage import block_checkpoint, checkpoint, records
from emergence.storage.files import (
  remove_unfinished,
  see_others,
  write_atomically,
)
from emergence.storage.params import load_params
from emergence.sweep import pending, sweep
from emergence.sweep.blocks import Interrupted, Saving
from experiments import command, sweep_log

CELL = Cell.parse("count/width-8/depth-1")

pytestmark = pytest.mark.usefixtures("stop_after_each_step")


@pytest.fixture
def workdir(bucket) -> epath.Path:
  return epath.Path("gs://bucket/runs/tiny")


def train(config, programs, workdir, work=None, **options):
  devices = hardware.local_devices(2)
  sweep.prepare(config, workdir, devices)
  block_checkpoint.remove_left_behind(config, workdir)
  if work is None:
    work = pending.find(pending.make_request(config, workdir))
  return sweep.run(config, workdir, work, devices, programs[2], **options)


def interrupt(config, programs, workdir, saving):
  """Trains three steps of six."""
  stops = itertools.count()
  with pytest.raises(Interrupted):
    train(
      *(config, programs, workdir),
      saving=saving,
      should_stop=lambda: next(stops) >= 4,
    )


def test_an_interrupted_sweep_goes_on_in_a_bucket_as_on_a_disk(
  config, programs, workdir, bucket, tmp_path
):
  local = epath.Path(tmp_path)
  saving = Saving(steps=1, params="final")
  train(config, programs, local, saving=saving)
  interrupt(config, programs, workdir, saving)
  saved = [path.name for path in (workdir / "checkpoints").glob("*/*/*/*/*")]
  assert sorted(saved) == 2 * ["00000002"] + 2 * ["00000003"]
  bucket.new_machine()
  steps = []
  train(
    *(config, programs, workdir),
    saving=saving,
    on_progress=lambda progress: steps.append(progress.step),
  )
  assert min(steps) > 3
  pd.testing.assert_frame_equal(records.read(workdir), records.read(local))
  assert not (workdir / "checkpoints").exists()
  kept, expected = (load_params(d, CELL, seed=5) for d in (workdir, local))
  np.testing.assert_equal(kept, expected)


def test_what_is_wrong_with_a_checkpoint_in_a_bucket_costs_that_one(
  config, programs, workdir, bucket, caplog
):
  saving = Saving(steps=1)
  interrupt(config, programs, workdir, saving)
  first, second = (workdir / "checkpoints").glob("*/*/*/*")
  (first / "00000003" / "commit_success.txt").unlink()
  (second / "00000003" / "arrays.safetensors").write_bytes(b"noise")
  bucket.new_machine()
  assert train(config, programs, workdir, saving=saving) == 8
  told = "\n".join(record.getMessage() for record in caplog.records)
  assert (
    "its save was cut off; removed, the block continues from step 2" in told
  )
  assert "renamed to damaged-00000003" in told
  assert told.count("continues from step 2") == 2


def test_a_save_in_a_bucket_replaces_one_of_the_same_step(workdir):
  folder = workdir / "checkpoints" / str(CELL) / "seeds-000000-000003"
  with checkpoint.Checkpointer() as checkpointer:
    for value in (1, 2):
      checkpointer.save(folder, 5, {"x": np.int32(value)}, {})
  assert checkpoint.restore(folder, {"x": np.int32(0)}, {}) == (5, {"x": 2}, {})


def test_an_upload_that_fails_leaves_what_was_there(workdir, bucket):
  path = workdir / "config.json"
  write_atomically(path, b"old")

  def fail(self, final=False):
    raise OSError("no way to the bucket")

  with pytest.MonkeyPatch.context() as monkeypatch:
    monkeypatch.setattr(bucket.file, "_upload_chunk", fail)
    with pytest.raises(OSError, match="no way"):
      write_atomically(path, b"new")
  assert path.read_bytes() == b"old"
  assert list(bucket.objects) == ["bucket/runs/tiny/config.json"]


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
  folder = epath.Path(tmp_path)
  path = folder / "file"
  write_atomically(path, b"old")
  write_atomically(path, b"new")
  assert path.read_bytes() == b"new"

  def fail(file):
    raise OSError(errno.ENOSPC, "said without a path")

  monkeypatch.setattr("os.fsync", fail)
  with pytest.raises(OSError, match="No space left on device") as caught:
    write_atomically(path, b"newer")
  assert caught.value.filename == str(path)
  with pytest.raises(FileNotFoundError) as caught:
    write_atomically(folder / "none" / "file", b"")
  assert caught.value.filename == str(folder / "none" / "file")
  assert path.read_bytes() == b"new"
  assert list(folder.iterdir()) == [path]


def test_only_old_temporary_files_are_removed(tmp_path):
  folder = epath.Path(tmp_path)
  old = [
    folder / "runs" / ".x.json.0123abcd.writing",
    folder / ".config.json.0123abcd.writing",
  ]
  young = folder / "records" / str(CELL) / ".seeds-0-1.parquet.89abcdef.writing"
  others = [folder / ".hidden", folder / "records" / "log"]
  for place in (*old, young, *others):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("")
  for place in (*old, *others):
    os.utime(place, (0, 0))
  remove_unfinished(folder)
  assert not any(place.exists() for place in old)
  assert all(place.exists() for place in (young, *others))


def test_machines_with_shards_fill_one_bucket(
  config, programs, workdir, bucket
):
  sweep.prepare(config, workdir, hardware.local_devices(2))
  requests = [
    pending.make_request(config, workdir, shard=(index, 2)) for index in (0, 1)
  ]
  # Each looks before the other one writes.
  for work in [pending.find(request) for request in requests]:
    bucket.new_machine()
    assert train(config, programs, workdir, work) == 4
  assert pending.find(pending.make_request(config, workdir)) == []


def test_what_others_write_is_seen_if_asked_for(workdir, bucket):
  other = bucket.other_machine()
  other.put_object("bucket/runs/tiny/a", b"")
  assert len(list(workdir.iterdir())) == 1
  other.put_object("bucket/runs/tiny/b", b"")
  assert len(list(workdir.iterdir())) == 1  # gcsfs remembers.
  bucket.new_machine()
  see_others(workdir)
  assert len(list(workdir.iterdir())) == 2
  other.put_object("bucket/runs/tiny/c", b"")
  assert len(list(workdir.iterdir())) == 3


def test_a_bucket_has_report_and_tables(config, programs, workdir, bucket):
  train(config, programs, workdir)
  bucket.new_machine()
  found = sweep_sections.read(workdir)
  assert [run.seeds for run in found.runs] == [8]
  options = Options(num_resamples=50, num_permutations=50)
  analysis = questions.analyze(tables.read(workdir), options)
  output.write_files(workdir, output.files(analysis))

  def write():
    parts = [*sweep_sections.sections(found), *sweep_sections.provenance(found)]
    return write_page(workdir, "title", "answer", "about", parts)

  page = write()
  assert page.read_text().startswith("<!DOCTYPE html>")
  table = pd.read_csv(io.BytesIO((workdir / "summary.csv").read_bytes()))
  assert set(table["n_seeds"]) == {8}
  written = dict(bucket.objects)
  assert any(name.endswith(".svg") for name in written)
  write()
  assert bucket.objects == written  # With the times of the objects.


def run_main(main) -> int:
  """The exit code of a main that takes no flags."""
  with pytest.MonkeyPatch.context() as monkeypatch:
    monkeypatch.setattr(sys, "argv", ["main"])
    monkeypatch.setattr(flags, "FLAGS", flags.FlagValues())
    monkeypatch.setattr(command.app, "run", lambda main, **_: main(["main"]))
    with pytest.raises(SystemExit) as end:
      command.run(main)
  return end.value.code


def test_what_a_bucket_refuses_is_one_line(capsys):
  error = type("HttpError", (Exception,), {"__module__": "gcsfs.retry"})

  def main():
    raise error("Anonymous caller\ndoes not have access, 401")

  assert run_main(main) == 1
  assert capsys.readouterr().err == (
    "error: HttpError: Anonymous caller does not have access, 401\n"
  )


def test_shards_that_begin_at_once_have_logs_of_their_own(workdir):
  for text in "ab":
    with sweep_log.opened(workdir, "1/4") as file:
      file.write(text)
  logs = list((workdir / "logs").iterdir())
  assert sorted(log.read_text() for log in logs) == ["a", "b"]
  assert all(log.name.endswith("-shard-1-of-4.log") for log in logs)


def test_a_log_in_a_bucket_can_be_read_while_it_is_written(
  workdir, bucket, monkeypatch
):
  with sweep_log.opened(workdir, "0/2") as file:
    file.write("first\n")
    file.flush()
    assert sweep_log.last_lines(workdir) == {"shard-0-of-2": "first"}
    file.write("second\n")
    file.flush()  # Within a minute.
    assert sweep_log.last_lines(workdir) == {"shard-0-of-2": "first"}
    monkeypatch.setattr(sweep_log, "_SECONDS_BETWEEN_UPLOADS", 0.0)
    with monkeypatch.context() as context:
      context.setattr(bucket.file, "_upload_chunk", refuse)
      file.flush()
    file.write("third\n")
    file.flush()
    assert sweep_log.last_lines(workdir) == {"shard-0-of-2": "third"}
    file.write("last\n")
  assert sweep_log.last_lines(workdir) == {"shard-0-of-2": "last"}


def refuse(*args, **kwargs):
  raise OSError("no way to the bucket")
