"""Sweeps in the process of a test, to the end or stopped on the way."""

import itertools

import pytest

from emergence.population import hardware
from emergence.sweep import pending, sweep
from emergence.sweep.blocks import Interrupted
from emergence.tasks import make_task
from emergence.training import train as train_lib


def make_drawing_train(config, arch):
  """`train.make_train`, with a step that draws its own batch."""
  init_state, train_step = train_lib.make_train(config, arch)
  sample = train_lib.make_sampler(config, make_task(config.task))

  def draw_and_train(state):
    return train_step(state, sample(state.data_key, state.step))

  return init_state, draw_and_train


def train(config, workdir, programs=None, num_devices=2, seeds=None, **options):
  """Runs what is pending of a config, as the main does.

  Args:
    config: the experiment.
    workdir: the work directory.
    programs: for each number of devices, of each cell; compiled if None.
    num_devices: one block on each.
    seeds: to train; those of the config where None.
    **options: of `sweep.run`.

  Returns:
    How many seeds it has trained to the end.
  """
  devices = hardware.local_devices(num_devices)
  sweep.prepare(config, workdir, devices)
  compiled = programs[num_devices] if programs else {}
  work = find_pending(config, workdir, seeds)
  return sweep.run(config, workdir, work, devices, compiled, **options)


def find_pending(config, workdir, seeds=None):
  """The blocks of a config, or of some of its seeds, without records."""
  seeds = None if seeds is None else sorted(seeds)
  return pending.find(pending.make_request(config, workdir, None, seeds))


def stop_after(number):
  """Asks to stop, but not the first times it is asked."""
  count = itertools.count()
  return lambda: next(count) >= number


def interrupt(config, workdir, programs, asked=5, **options):
  """Runs what is left until it is stopped."""
  with pytest.raises(Interrupted):
    train(config, workdir, programs, should_stop=stop_after(asked), **options)


def files(workdir):
  """The bytes of all records, by their names."""
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for path in (workdir / "records").glob("*/*/*/*")
  }
