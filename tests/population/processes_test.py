import contextlib
import glob
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from emergence.population import processes
from tests.sweep_processes import FAST_COMPILE

CONFIG = """
from experiments.configs.quickstart import config
from emergence.config import override
config = override(config, ["grid.depths=[1]", "seeds.count=16", "seeds.block=4",
  "train.steps=300", "train.batch_size=4", "eval.num_points=6",
  "train.warmup_fraction=0.1", "task.vocab_size=30"])
"""


def test_one_process_agrees_with_itself():
  assert processes.is_first()
  assert processes.agree([1, "a", None]) == [1, "a", None]
  assert processes.any_of(True, False) == (True, False)
  np.testing.assert_array_equal(processes.fetch(np.arange(3)), np.arange(3))


def free_port():
  """None of those that the system gives to whoever asks for any."""
  while True:
    port = random.randrange(20_000, 32_000)
    with socket.socket() as s, contextlib.suppress(OSError):
      s.bind(("127.0.0.1", port))
      return port


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
  """Starts a sweep in some processes of one population, one device each."""
  config = tmp_path_factory.mktemp("config") / "config.py"
  config.write_text(CONFIG)
  all_started = []

  def start(workdir, number):
    port = free_port()
    command = [
      *(sys.executable, "-m", "experiments.sweep", f"--config={config}"),
      *(f"--workdir={workdir}", "--checkpoint_steps=50"),
    ]
    if number == 1:
      command.append("--devices=1")
    else:
      command += [
        *("--distributed", f"--coordinator=localhost:{port}"),
        f"--num_processes={number}",
      ]
    started = [
      subprocess.Popen(
        [*command, f"--process_id={i}"] if number > 1 else command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": FAST_COMPILE},
      )
      for i in range(number)
    ]
    all_started.extend(started)
    return started

  yield start
  for process in all_started:  # Of a test that has failed.
    process.kill()


def end(started):
  """Exit codes, and what each has said on stderr."""
  errors = [process.communicate(timeout=600)[1] for process in started]
  return [process.returncode for process in started], errors


@pytest.fixture(scope="module")
def alone(sweep, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("alone")
  assert end(sweep(workdir, 1))[0] == [0]
  return read(workdir)


def read(workdir):
  frame = pd.read_parquet(pathlib.Path(workdir) / "records")
  keys = ["seed", "step", "test_length"]
  return frame.sort_values(keys, ignore_index=True)


def assert_same_study(found, expected):
  """The same seeds, to different rounding, which later steps blow up."""
  keys = ["seed", "init_seed", "data_seed", "step", "test_length"]
  assert found[keys].equals(expected[keys])
  early = expected["step"] <= 100
  assert early.any()
  np.testing.assert_allclose(
    found["train_loss"][early], expected["train_loss"][early], rtol=1e-3
  )


def wait_until(condition, started):
  deadline = time.monotonic() + 600
  while not condition():
    assert time.monotonic() < deadline
    assert [process.poll() for process in started] == [None] * len(started)
    time.sleep(0.05)


@pytest.mark.slow
def test_of_two_one_that_dies_ends_the_other_and_the_same_commands_go_on(
  sweep, alone, tmp_path
):
  log = tmp_path / "log"

  started = sweep(tmp_path, 2)
  # Unlike pathlib's, this glob bears folders that go while it looks.
  saved = f"{tmp_path}/checkpoints/*/*/*/*/*/*.safetensors"
  wait_until(lambda: glob.glob(saved), started)
  started[1].kill()
  codes, errors = end(started)
  assert codes[0] != 0

  # One that is told to stop has all of them save and stop.
  started = sweep(tmp_path, 2)
  wait_until(lambda: "continue from" in log.read_text(), started)
  started[1].send_signal(signal.SIGTERM)
  codes, errors = end(started)
  assert codes == [75, 75]

  # The others do not stumble over what the first one moves away.
  (tmp_path / "config.json").write_text("{")
  codes, errors = end(sweep(tmp_path, 2))
  assert codes == [0, 0], errors
  assert_same_study(read(tmp_path), alone)
