"""The tasks. To add one, write its file and register it in `TASKS`."""

import difflib

import jax

from emergence.config import TaskConfig
from emergence.tasks import (
  copy,
  count,
  mode,
  null,
  parity,
  reverse_addition,
  sort,
)
from emergence.tasks.task import Example, Task, sample_contexts

__all__ = ["TASKS", "Example", "Task", "make_task", "sample_contexts"]

TASKS = {
  "count": count.make,
  "reverse_addition": reverse_addition.make,
  "copy": copy.make,
  "sort": sort.make,
  "mode": mode.make,
  "parity": parity.make,
  "null": null.make,
}


def make_task(config: TaskConfig, items: int = 1) -> Task:
  """Builds the task that a config names.

  Args:
    config: name and sizes of the task.
    items: evaluation items per test length, for tasks that draw them.

  Raises:
    ValueError: there is no such task, or sizes do not fit together.
  """
  if config.name not in TASKS:
    near = difflib.get_close_matches(config.name, TASKS, n=1) or TASKS
    raise ValueError(
      f"task.name: no task {config.name!r}; did you mean {' or '.join(near)}?"
    )
  task = TASKS[config.name](config, items)
  if config.context_length < task.longest_example:
    raise ValueError(
      f"task.context_length must be at least {task.longest_example}, the"
      f" longest training example, got {config.context_length}"
    )
  return task._replace(evaluation=jax.jit(task.evaluation, static_argnums=0))
