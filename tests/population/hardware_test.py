import types

import jax
import pytest

from emergence.population import hardware


def test_memory_is_asked_of_devices_of_this_process_alone():
  def refuse():
    raise RuntimeError("memory_stats is for addressable devices")

  chips = [
    types.SimpleNamespace(platform="tpu", process_index=i, memory_stats=stats)
    for i, stats in ((1, refuse), (0, lambda: {"bytes_limit": 1000}))
  ]
  usable, is_shared = hardware.memory_budget(chips)
  assert 500 < usable <= 1000
  assert not is_shared


def test_devices_are_those_of_all_processes_or_some_of_each():
  assert hardware.all_devices() == hardware.all_devices(2) == jax.devices()
  assert hardware.all_devices(1) == jax.devices()[:1]
  with pytest.raises(ValueError, match="--devices=3: process 0 has 2 cpu dev"):
    hardware.all_devices(3)
  with pytest.raises(ValueError, match="--devices=3: this machine has 2 cpu"):
    hardware.local_devices(3)


def test_a_gpu_of_slurm_that_jax_does_not_find_is_an_error(monkeypatch):
  monkeypatch.setenv("SLURM_JOB_GPUS", "3")
  assert hardware.local_devices() == jax.local_devices()  # JAX_PLATFORMS=cpu
  jax.config.update("jax_platforms", None)
  try:
    with pytest.raises(RuntimeError, match="the GPUs 3, but JAX finds none"):
      hardware.local_devices()
  finally:
    jax.config.update("jax_platforms", "cpu")
