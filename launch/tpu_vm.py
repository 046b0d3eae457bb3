"""Trains a sweep on a slice of Google Cloud TPUs, with its work in a bucket.

  python -m launch.tpu_vm --config=paper_count --workdir=gs://BUCKET/DIR
    --zone=us-west4-a --accelerator_type=v5litepod-16 --spot

Asks for the slice, installs this source tree on all of its workers, starts each
on its share of the blocks, and watches until all are done; a slice that is
preempted is asked for anew and goes on. Ctrl-C ends the watching alone, and the
same command watches again. The flags of experiments.sweep go to the workers.
--do=delete gives the slice back, which costs until then.
"""

import pathlib
import re
import subprocess
import sys
import time

from absl import flags

from emergence import records, remote
from emergence.config import Cell
from experiments import command
from experiments import sweep as sweep_main
from experiments.sweep_request import Request
from launch import gcloud, sweep_command, tpu_slice, tpu_watch, tpu_worker
from launch.tpu_slice import Plan

flags.adopt_module_key_flags(sweep_main)
_DO = flags.DEFINE_enum(
  "do",
  "train",
  "train create install run stop log status report delete".split(),
  "What to do: train is create (asks for the slice), install and run (starts"
  " the workers) as far as need be, and watches; stop has the workers save and"
  " end; log follows one; report writes the report and copies it here; delete"
  " gives the slice back.",
)
_NAME = flags.DEFINE_string(
  "name", "emergence", "Name of the slice, its VMs and its queued resource."
)
_ZONE = flags.DEFINE_string(
  "zone", None, "Zone, such as us-west4-a.", required=True
)
_PROJECT = flags.DEFINE_string(
  "project", None, "Google Cloud project; default is that of gcloud."
)
_ACCELERATOR_TYPE = flags.DEFINE_string(
  "accelerator_type", "v5litepod-8", "Kind and size of the slice."
)
_RUNTIME_VERSION = flags.DEFINE_string(
  "runtime_version",
  None,
  "Software of the VMs; default is what Google names for JAX.",
)
_SPOT = flags.DEFINE_bool(
  "spot", False, "Ask for a slice that is cheaper and may be taken away."
)
_CREATE_OPTION = flags.DEFINE_multi_string(
  "create_option",
  [],
  "Further option of gcloud compute tpus queued-resources create, such as"
  " --service-account=NAME.",
)
_SSH_OPTION = flags.DEFINE_multi_string(
  "ssh_option",
  [],
  "Further option of gcloud compute tpus tpu-vm ssh and scp, such as"
  " --internal-ip.",
)
_GIT_URL = flags.DEFINE_string(
  "git_url", None, "Install from there instead of copying this source tree."
)
_GIT_REF = flags.DEFINE_string(
  "git_ref", "HEAD", "Commit, tag or branch of --git_url."
)
_PYTHON = flags.DEFINE_string(
  "python", "3.12", "Version of Python on the workers, 3.11 or newer."
)
_WORKER = flags.DEFINE_string("worker", "0", "Whose log to follow, or all.")
_OUT = flags.DEFINE_string(
  "out", ".", "Local folder for the report; made if it is missing."
)
_POLL_SECONDS = flags.DEFINE_float(
  "poll_seconds", 60.0, "Time between two looks.", lower_bound=0.0
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run",
  False,
  "Only print the commands of gcloud.",
  allow_override=True,
)

# Flags of the sweep that a worker gets from us, or from its slice.
_NOT_FOR_SLICES = (
  *("json", "shard", "cooperate"),
  *("coordinator", "num_processes", "process_id"),
)


def main() -> None:
  plan, workdir = _plan(), flags.FLAGS.workdir
  if _DRY_RUN.value:
    _print_commands(plan, workdir)
    return
  match _DO.value:
    case "train":
      say = lambda text: print(time.strftime("%H:%M:%S"), text, flush=True)
      tpu_watch.watch(plan, _POLL_SECONDS.value, tpu_watch.tell_once(say))
      print(f"report  {_again('report')}\ndelete  {_again('delete')}")
    case "create":
      with tpu_slice.packed(plan):  # Better refused now than when it costs.
        gcloud.call(tpu_slice.create(plan))
      print(f"asked for; {_again('status')} tells when it is there")
    case "install":
      with tpu_slice.packed(plan) as folder:
        tpu_slice.install(plan, folder)
    case "run":
      for line in tpu_slice.start(plan, tpu_slice.num_workers(plan.tpu)):
        print(line)
    case "stop":
      gcloud.call(tpu_slice.stop(plan))
      print("the workers save what they train, and end")
    case "log":
      gcloud.follow(gcloud.ssh(plan.tpu, tpu_worker.log(), _WORKER.value))
    case "status":
      _print_status(plan, sweep_main.read_request())
    case "report":
      _report(plan, workdir)
    case "delete":
      gcloud.call(gcloud.delete(plan.tpu))
      print(f"{plan.tpu.name} is deleted; {workdir} stays")


def _plan() -> Plan:
  """What the flags ask for; ValueError for what else fails minutes later."""
  values = flags.FLAGS
  if not values.workdir.startswith("gs://"):
    raise ValueError(
      "--workdir: the workers of a slice share a bucket, gs://BUCKET/FOLDER,"
      f" not {values.workdir}"
    )
  for name in _NOT_FOR_SLICES:
    if values[name].present:
      raise ValueError(f"--{name} is nothing to give to a slice")
  sweep_main.read_request()  # ValueError for what a worker would refuse.
  for name, pattern, meaning in (
    ("name", "[a-z]([a-z0-9-]{0,60}[a-z0-9])?", "small letters and digits"),
    ("python", r"3\.(1[1-9]|[2-9][0-9])", "3.11 or newer"),
    ("worker", "all|[0-9]{1,4}", "a number or all"),
  ):
    if not re.fullmatch(pattern, str(values[name].value)):
      raise ValueError(f"--{name} is {meaning}, got {values[name].value!r}")
  config_file = None
  if values.config.endswith(".py"):
    content = pathlib.Path(values.config).read_bytes()
    config_file = tpu_slice.ConfigFile(values.config, content)
  accelerator_type = _ACCELERATOR_TYPE.value
  tpu_slice.num_hosts(accelerator_type)
  return Plan(
    gcloud.Slice(
      _NAME.value, _ZONE.value, _PROJECT.value, tuple(_SSH_OPTION.value)
    ),
    accelerator_type,
    _RUNTIME_VERSION.value or tpu_slice.runtime_version(accelerator_type),
    _SPOT.value,
    tuple(_CREATE_OPTION.value),
    _GIT_URL.value,
    _GIT_REF.value,
    _PYTHON.value,
    config_file,
    tuple(
      sweep_command.given_flags(
        locate=lambda path: config_file.copied if config_file else path
      )
    ),
    shards=not values.distributed,
  )


def _print_status(plan: Plan, request: Request) -> None:
  state, reason = tpu_slice.state(plan.tpu)
  print(f"{plan.tpu.name}  {state}  {reason}".rstrip())
  if state == "ACTIVE":
    try:
      num = tpu_slice.num_workers(plan.tpu)
      for worker, what in tpu_slice.worker_states(plan, num):
        print(f"worker {worker}  {what}")
    except gcloud.Failure as error:
      print(f"workers: {error}")
  try:
    for cell, done, wanted in cells_done(request):
      print(f"{cell}  {done} of {wanted} seeds")
  except Exception as error:
    if not isinstance(error, ImportError | OSError) and not remote.is_refusal(
      error
    ):
      raise
    print(f"{request.workdir} cannot be read from here: {error}")


def cells_done(request: Request) -> list[tuple[Cell, int, int]]:
  """Each cell, how many of its seeds have records, and of how many."""
  wanted, recorded = set(request.seeds), records.recorded_seeds
  return [
    (cell, len(wanted & recorded(request.workdir, cell)), len(wanted))
    for cell in request.cells
  ]


def _report(plan: Plan, workdir: str) -> None:
  pathlib.Path(_OUT.value).mkdir(parents=True, exist_ok=True)
  state, _ = tpu_slice.state(plan.tpu)
  if state == "ACTIVE":
    on_worker = gcloud.ssh(plan.tpu, tpu_worker.report(workdir), 0)
    print(gcloud.call(on_worker), end="")
  else:
    here = [sys.executable, "-m", "experiments.report", f"--workdir={workdir}"]
    if subprocess.run(here).returncode:
      raise OSError(f"no report of {workdir}: what went wrong stands above")
  gcloud.call(_copy(workdir))
  print(f"report  {pathlib.Path(_OUT.value) / 'report.html'}")


def _copy(workdir: str) -> list[str]:
  names = ("report.html", "summary.csv", "figures")
  return gcloud.copy_from_bucket(
    [f"{workdir.rstrip('/')}/{name}" for name in names], _OUT.value
  )


def _again(what: str) -> str:
  """The command that does something else with the same slice and sweep."""
  given = [f"--do={what}", *sweep_command.given_flags(locate=str)]
  for name in ("zone", "name", "project"):
    if flags.FLAGS[name].present:
      given.append(f"--{name}={flags.FLAGS[name].value}")
  given += [f"--ssh_option={option}" for option in _SSH_OPTION.value]
  return gcloud.show(["python", "-m", "launch.tpu_vm", *given])


def _print_commands(plan: Plan, workdir: str) -> None:
  """Prints what would be called for a slice that is not there yet."""
  tpu, num = plan.tpu, tpu_slice.num_hosts(plan.accelerator_type)
  parts = {
    "create": {"ask for the slice": [tpu_slice.create(plan)]},
    "status": {
      "look": [
        gcloud.describe(tpu),
        gcloud.describe_vm(tpu),
        tpu_slice.ask_states(plan, num),
      ]
    },
    "install": {"install": tpu_slice.install_commands(plan, None)},
    "run": {"start the workers": tpu_slice.start_commands(plan, num)},
    "stop": {"stop the workers": [tpu_slice.stop(plan)]},
    "log": {"follow": [gcloud.ssh(tpu, tpu_worker.log(), _WORKER.value)]},
    "report": {
      "write it": [gcloud.ssh(tpu, tpu_worker.report(workdir), 0)],
      "copy it": [_copy(workdir)],
    },
    "delete": {"give the slice back": [gcloud.delete(tpu)]},
  }
  parts["train"] = {
    **parts["create"],
    f"look, every {_POLL_SECONDS.value:g} s": parts["status"]["look"],
    "the last of these, at the first look": [
      tpu_slice.ask_states(plan, num, anew=True)
    ],
    **parts["install"],
    **parts["run"],
    "only if it was preempted, before asking anew": [gcloud.delete(tpu)],
  }
  for title, commands in parts[_DO.value].items():
    print(f"# {title}")
    for words in commands:
      print(gcloud.show(words))


if __name__ == "__main__":
  command.run(main)
