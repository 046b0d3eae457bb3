import errno
import io

import fsspec.config
import numpy as np
import pandas as pd
import pytest
from etils import epath

from emergence import tables
from emergence.analysis import output, questions
from emergence.config import Cell
from emergence.report import sweep_sections
from emergence.report.page import write_page
from emergence.statistics.options import Options
from emergence.storage import block_checkpoint, records
from emergence.storage.files import quarantine, see_others, write_atomically
from emergence.storage.params import load_params
from emergence.sweep.blocks import Saving
from tests.sweeps import interrupt, train

CELL = Cell.parse("count/width-8/depth-1")

pytestmark = pytest.mark.usefixtures("stop_after_each_step")


@pytest.fixture
def workdir(bucket) -> epath.Path:
  return epath.Path("gs://bucket/runs/tiny")


def test_an_interrupted_sweep_goes_on_in_a_bucket_as_on_a_disk(
  config, programs, trained, workdir
):
  saving = Saving(steps=1, params="final")
  interrupt(config, workdir, programs, asked=4, saving=saving)
  saved = [path.name for path in (workdir / "checkpoints").glob("*/*/*/*/*")]
  assert sorted(saved) == 2 * ["00000002"] + 2 * ["00000003"]
  block_checkpoint.remove_left_behind(config, workdir)
  steps = []
  train(
    *(config, workdir, programs),
    saving=saving,
    on_progress=lambda progress: steps.append(progress.step),
  )
  assert min(steps) > 3
  pd.testing.assert_frame_equal(records.read(workdir), records.read(trained))
  assert not list((workdir / "checkpoints").glob("*/*/*/*"))
  kept, expected = (load_params(d, CELL, seed=5) for d in (workdir, trained))
  np.testing.assert_equal(kept, expected)


def test_what_is_wrong_with_a_checkpoint_in_a_bucket_costs_that_one(
  config, programs, workdir, caplog
):
  saving = Saving(steps=1)
  interrupt(config, workdir, programs, asked=4, saving=saving)
  first, second = (workdir / "checkpoints").glob("*/*/*/*")
  (first / "00000003" / "commit_success.txt").unlink()
  (second / "00000003" / "arrays.safetensors").write_bytes(b"noise")
  assert train(config, workdir, programs, saving=saving) == 8
  told = "\n".join(record.getMessage() for record in caplog.records)
  assert (
    "its save was cut off; it was removed, and the block continues from step 2"
    in told
  )
  assert "renamed to damaged-00000003" in told
  assert told.count("continues from step 2") == 2


def test_a_corrupt_file_in_a_bucket_is_moved(workdir):
  path, place = workdir / "records" / "x.parquet", workdir / "damaged" / "x"
  path.write_bytes(b"noise")
  assert quarantine(path, place) == place
  assert (path.exists(), place.read_bytes()) == (False, b"noise")


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
  assert path.read_bytes() == b"new"
  assert list(folder.iterdir()) == [path]


def test_what_others_write_is_seen(monkeypatch):
  monkeypatch.setattr(fsspec.config, "conf", {})
  see_others("/disk")
  assert not fsspec.config.conf
  see_others("gs://bucket/run")
  assert fsspec.config.conf["gs"] == {"use_listings_cache": False}


def test_a_bucket_has_report_and_tables(config, programs, workdir, bucket):
  train(config, workdir, programs)
  found = sweep_sections.read(workdir)
  assert [run.seeds for run in found.runs] == [8]
  options = Options(num_resamples=50, num_permutations=50)
  analysis = questions.analyze(tables.read(workdir), options)
  output.write_files(workdir, output.files(analysis))
  first, *_ = sweep_sections.sections(found)  # A figure is enough.
  page = write_page(workdir, "title", "answer", "about", [first])
  assert page.read_text().startswith("<!DOCTYPE html>")
  table = pd.read_csv(io.BytesIO((workdir / "summary.csv").read_bytes()))
  assert set(table["n_seeds"]) == {8}
  assert any(name.endswith(".svg") for name in bucket.store)
