"""Where launch.local puts its workers."""

import importlib.metadata
import os
import types

import pytest

from launch import placement


def test_cores_are_divided_so_that_all_have_as_many_devices():
  places = placement.divide(3, [], range(2, 13))
  assert [place.devices for place in places] == [3, 3, 3]
  assert [sorted(place.cores) for place in places] == [
    [2, 3, 4, 5],
    [6, 7, 8, 9],
    [10, 11, 12],
  ]
  assert {place.gpus for place in places} == {None}


def test_gpus_are_divided_and_never_shared():
  places = placement.divide(2, ["0", "GPU-8a", "2", "3", "4"], range(8))
  assert [place.gpus for place in places] == [("0", "GPU-8a"), ("2", "3")]
  assert {(place.cores, place.devices) for place in places} == {(None, None)}


@pytest.mark.parametrize(
  ("gpus", "message"),
  [
    ([], "--num_workers=5: each needs a core of its own, and we may use 4"),
    (["0"], "--num_workers=5: each needs a GPU of its own, and we may use 1"),
  ],
)
def test_more_workers_than_there_is_room_for_are_refused(gpus, message):
  with pytest.raises(ValueError, match=message):
    placement.divide(5, gpus, range(4))


@pytest.fixture
def gpu_machine(tmp_path, monkeypatch):
  """JAX with a plugin for CUDA, and an nvidia-smi that lists three GPUs."""
  plugin = types.SimpleNamespace(name="xla_cuda13")
  monkeypatch.setattr(
    importlib.metadata, "entry_points", lambda group: [plugin]
  )
  for name in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES"):
    monkeypatch.delenv(name, raising=False)
  command = tmp_path / "nvidia-smi"
  command.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
  command.chmod(0o755)
  monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize(
  ("environment", "gpus"),
  [
    ({}, ["0", "1", "2"]),
    ({"JAX_PLATFORMS": "cuda,cpu"}, ["0", "1", "2"]),
    ({"JAX_PLATFORMS": "cpu"}, []),
    ({"CUDA_VISIBLE_DEVICES": "2,0"}, ["2", "0"]),
    ({"CUDA_VISIBLE_DEVICES": ""}, []),
    ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
  ],
)
@pytest.mark.usefixtures("gpu_machine")
def test_the_gpus_are_those_that_jax_may_use(environment, gpus, monkeypatch):
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  assert placement.visible_gpus() == gpus


@pytest.mark.usefixtures("gpu_machine")
def test_without_a_driver_or_a_plugin_there_are_no_gpus(monkeypatch):
  with monkeypatch.context() as patch:
    patch.setenv("PATH", "/nowhere")
    assert placement.visible_gpus() == []
  monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [])
  assert placement.visible_gpus() == []


@pytest.mark.skipif(
  not hasattr(os, "sched_getaffinity"), reason="no affinity on this system"
)
def test_cores_are_those_that_we_were_confined_to():
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, {min(before)})
  try:
    assert placement.usable_cores() == [min(before)]
  finally:
    os.sched_setaffinity(0, before)
