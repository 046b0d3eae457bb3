import json

import jax
import orbax.checkpoint as ocp
import pytest
from etils import epath

from emergence.storage import checkpoint_handler


@pytest.fixture
def path(tmp_path):
  """A checkpoint of five bytes."""
  path = epath.Path(tmp_path) / "block" / "00000007"
  checkpoint_handler.write(path, b"bytes", {"step": 7})
  return path


def test_bytes_and_record_come_back(path):
  assert checkpoint_handler.read(path) == b"bytes"
  assert checkpoint_handler.read_record(path) == {"step": 7}


def test_writing_replaces(path):
  checkpoint_handler.write(path, b"others", {"step": 8})
  assert checkpoint_handler.read(path) == b"others"
  assert checkpoint_handler.read_record(path) == {"step": 8}


def test_the_folder_is_one_of_orbax(path):
  assert ocp.path.step.is_path_finalized(path)
  assert ocp.utils.checkpoint_steps(path.parent) == [7]


@pytest.mark.parametrize("content", ["[]", "{}", '{"custom_metadata": [1]}'])
def test_a_record_of_something_else_is_refused(path, content):
  (path / checkpoint_handler.RECORD).write_text(content)
  with pytest.raises(ValueError, match="does not describe it"):
    checkpoint_handler.read_record(path)


def test_a_process_waits_for_none_but_itself(path, monkeypatch):
  """The third of four processes, which has no other to meet at a barrier."""
  monkeypatch.setattr(jax, "process_count", lambda: 4)
  monkeypatch.setattr(jax, "process_index", lambda: 2)
  own = path.parent / "00000008"
  checkpoint_handler.write(own, b"mine", {"step": 8})
  assert checkpoint_handler.read(own) == b"mine"
  assert json.loads((own / checkpoint_handler.RECORD).read_text())
