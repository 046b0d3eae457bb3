"""Keeps a slice of TPUs going until all of its workers are done."""

import contextlib
import dataclasses
import time
from collections.abc import Callable

from experiments import stopping
from launch import gcloud, tpu_slice
from launch.tpu_slice import Plan

_WAITS = {
  "CREATING": "is being made",
  "ACCEPTED": "waits in the queue",
  "WAITING_FOR_RESOURCES": "waits in the queue, as nothing is free",
  "PROVISIONING": "gets its machines",
  "SUSPENDING": "is being taken away",
  "DELETING": "is being deleted",
}
# Failures in a row after which a slice is given up, and we give up; neither
# before some seconds have passed. We give up too after as many slices.
_MAX_LOST, _MAX_FAILURES, _MAX_SLICES = 3, 6, 3
_PATIENCE_SECONDS = 120.0
_SIGNALLED = 128  # Exit codes above are those of signals.
# How often a worker may end badly, within how many seconds.
_MAX_ENDS, _END_SECONDS = 3, 7200.0


def watch(plan: Plan, seconds: float, tell: Callable[[str], None]) -> None:
  """Gets a slice, has it train, and returns when all workers are done.

  One that is preempted, fails for lack of machines, has no VMs, or one of whose
  workers does not answer several times in a row while others do, is asked for
  anew. Where none answers, the way from here may be what is wrong, and it is
  left to train.

  Args:
    plan: what is wanted.
    seconds: between two looks.
    tell: called with what is new.

  Raises:
    Refusal: it cannot go on without the user; a quota is used up, or a worker
      ended with an error of the user's, or too often.
    ValueError: this source tree cannot be copied to workers.
    Failure: gcloud failed several times in a row, or no worker answers.
  """
  with tpu_slice.packed(plan) as folder:
    _watch(plan, _Memory(folder), seconds, tell)


@dataclasses.dataclass
class _Memory:
  """What is remembered of earlier looks.

  Attributes:
    folder: what `tpu_slice.packed` has given.
    has_seen: whether the workers have told their states.
    ends: when each worker that was started again had ended badly.
  """

  folder: str | None
  has_seen: bool = False
  ends: dict[str, list[float]] = dataclasses.field(default_factory=dict)


def _watch(
  plan: Plan, memory: _Memory, seconds: float, tell: Callable[[str], None]
) -> None:
  tpu, failures, since, slices = plan.tpu, 0, 0.0, 0
  while True:
    try:
      now, reason = tpu_slice.state(tpu)
      if now == "absent":
        tell(f"asking for {plan.accelerator_type} in {tpu.zone}")
        gcloud.call(tpu_slice.create(plan))
      elif now in ("FAILED", "SUSPENDED"):
        if gcloud.is_quota(reason):
          raise gcloud.out_of_quota(reason)
        what = "was preempted" if now == "SUSPENDED" else f"failed: {reason}"
        tell(f"{tpu.name} {what}; asking anew")
        gcloud.call(gcloud.delete(tpu))
      elif now != "ACTIVE":
        tell(f"{tpu.name} {_WAITS.get(now, f'is {now}')}")
      elif _tend(plan, memory, tell):
        return
      else:
        slices = 0
      failures = 0
    except gcloud.Failure as error:
      since = since if failures else time.monotonic()
      failures += 1
      is_patient = time.monotonic() - since < _PATIENCE_SECONDS
      if failures >= _MAX_FAILURES and not is_patient:
        raise _last(error, tpu.name) from error
      tell(f"{error}; trying again")
      if failures >= _MAX_LOST and not is_patient and _has_lost(error):
        slices += 1
        if slices == _MAX_SLICES:
          raise
        tell(f"{tpu.name} has lost a worker; asking for another slice")
        with contextlib.suppress(gcloud.Failure):
          gcloud.call(gcloud.delete(tpu))
    time.sleep(seconds)


def _has_lost(error: gcloud.Failure) -> bool:
  """Whether it is the slice that lacks something, not the way to it."""
  if isinstance(error, gcloud.LostWorker):
    return bool(error.printed)
  return isinstance(error, gcloud.NotFound)


def _last(error: gcloud.Failure, name: str) -> gcloud.Failure:
  """What is told of an error that does not end."""
  if isinstance(error, gcloud.LostWorker) and not error.printed:
    return gcloud.Failure(
      f"{error}; it is left as it is, may well train on, and costs until"
      f" --do=delete: can {name} be reached from here, at port 22 or as"
      " --ssh_option says?"
    )
  return error


def _tend(plan: Plan, memory: _Memory, tell: Callable[[str], None]) -> bool:
  """Gets workers going that are not; returns whether all are done."""
  name, num = plan.tpu.name, tpu_slice.num_workers(plan.tpu)
  # How a worker ended before somebody called us is settled: that was mended, or
  # there is more to train. The sweep itself knows what is left.
  states = tpu_slice.worker_states(plan, num, anew=not memory.has_seen)
  memory.has_seen = True
  for worker, now in states:
    _require_hope(worker, now, name, memory.ends.get(worker, []))
  num_done = sum(now == "exit 0" for _, now in states)
  num_running = sum(now == "running" for _, now in states)
  if num_done + num_running == num:
    tell(f"{num_running} of {num} workers train, {num_done} are done")
    return num_done == num
  if num_running and not plan.shards:
    # They wait for the others, who can only join them at the beginning.
    tell(f"{num_running} of {num} workers train one program; stopping them")
    gcloud.call(tpu_slice.stop(plan))
    return False
  if any(now == "absent" for _, now in states):
    tell(f"installing on {num} workers of {name}")
    tpu_slice.install(plan, memory.folder)
  for line in tpu_slice.start(plan, num):
    tell(line)
  for worker, now in states:
    if _is_bad_end(now):
      memory.ends.setdefault(worker, []).append(time.monotonic())
  return False


def _require_hope(
  worker: str, state: str, name: str, ends: list[float]
) -> None:
  """Raises Refusal where a worker would end, as it did, another time."""
  if state == "busy":
    raise gcloud.Refusal(
      f"worker {worker} of {name} trains something else; --do=stop first, or"
      " choose another --name"
    )
  see = f"see --do=log --worker={worker}"
  code = _exit_code(state)
  if code not in (0, 1, stopping.EXIT_CODE) and code <= _SIGNALLED:
    raise gcloud.Refusal(
      f"worker {worker} of {name} ended with exit code {code}; {see}"
    )
  # It went on from a checkpoint of minutes before, so that what is wrong for
  # good has ended it soon again.
  num_recent = sum(time.monotonic() - end < _END_SECONDS for end in ends)
  if _is_bad_end(state) and num_recent >= _MAX_ENDS:
    raise gcloud.Refusal(
      f"worker {worker} of {name} ended {num_recent + 1} times within"
      f" {_END_SECONDS / 3600:g} hours, at last: {state}; {see}"
    )


def _is_bad_end(state: str) -> bool:
  return state == "died" or _exit_code(state) not in (0, stopping.EXIT_CODE)


def _exit_code(state: str) -> int:
  return int(state[5:]) if state.startswith("exit ") else 0


def tell_once(write: Callable[[str], None]) -> Callable[[str], None]:
  """Passes on what was not the last thing to be told."""
  last = ""

  def tell(text: str) -> None:
    nonlocal last
    if text != last:
      last = text
      write(text)

  return tell
