"""Sweeps in the process of a test."""

from emergence import backlog, hardware, sweep


def train(config, workdir, seeds=None, num_devices=2, **options):
  """Runs what is left of a config, as the main does.

  Args:
    config: the experiment.
    workdir: the work directory.
    seeds: to train; those of the config where None.
    num_devices: one block on each.
    **options: of `sweep.run`.

  Returns:
    How many seeds it has trained to the end.
  """
  devices = hardware.local_devices(num_devices)
  sweep.prepare(config, workdir, devices)
  seeds = config.seeds.requested if seeds is None else seeds
  work = backlog.remaining(config, workdir, seeds)
  return sweep.run(config, workdir, work, devices, **options)
