"""A slice of TPUs that trains a sweep: what is wanted, asked for and set up."""

import concurrent.futures
import contextlib
import hashlib
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from launch import gcloud, tpu_worker
from launch.gcloud import Slice


class ConfigFile(NamedTuple):
  """A file that `--config` names, as it was when it was read."""

  path: str
  content: bytes

  @property
  def copied(self) -> str:
    """Where workers have it; another content has another name."""
    stem = re.sub(r"[^\w.-]", "-", pathlib.Path(self.path).stem)
    digest = hashlib.sha256(self.content).hexdigest()[:8]
    return f"{tpu_worker.LEFT}/{stem}-{digest}.py"


class Plan(NamedTuple):
  """What is wanted of a slice.

  Attributes:
    tpu: its name and place.
    accelerator_type: such as v5litepod-16.
    runtime_version: the software of its VMs.
    spot: whether it may be taken away.
    create_options: of gcloud, when it is asked for.
    git_url: where the source is; None for this tree.
    git_ref: commit, tag or branch there.
    python: version of Python on the workers.
    config_file: the file that `--config` names, if it names one.
    sweep: flags of experiments.sweep, as a worker gets them.
    shards: whether each worker trains blocks of its own; otherwise all take
      part in one program, with `--distributed` among the flags.
  """

  tpu: Slice
  accelerator_type: str
  runtime_version: str
  spot: bool
  create_options: tuple[str, ...]
  git_url: str | None
  git_ref: str
  python: str
  config_file: ConfigFile | None
  sweep: tuple[str, ...]
  shards: bool


# What is copied to the workers.
TREE = pathlib.Path(__file__).parents[1]

_RUNTIME_VERSIONS = {
  "v6e": "v2-alpha-tpuv6e",
  "v5p": "v2-alpha-tpuv5",
  "v5litepod": "v2-alpha-tpuv5-lite",
  **dict.fromkeys(("v2", "v3", "v4"), "tpu-ubuntu2204-base"),
}
_GONE = ("PREEMPTED", "TERMINATED", "STOPPED", "STOPPING", "DELETING")


def runtime_version(accelerator_type: str) -> str:
  """The software that Google names for JAX on an accelerator.

  Raises:
    ValueError: it names none that we know of.
  """
  kind = accelerator_type.partition("-")[0]
  if kind not in _RUNTIME_VERSIONS:
    raise ValueError(
      f"--runtime_version has no default for {accelerator_type}; see"
      " https://cloud.google.com/tpu/docs/runtimes"
    )
  return _RUNTIME_VERSIONS[kind]


def num_hosts(accelerator_type: str) -> int:
  """How many workers a slice has.

  Args:
    accelerator_type: such as v5litepod-16 or v4-32, whose number is one of
      chips for v5litepod and v6e, and of cores, two a chip, for the others.

  Raises:
    ValueError: it does not read so.
  """
  match = re.fullmatch(r"(v[0-9]+[a-z]*)-([1-9][0-9]{0,5})", accelerator_type)
  if not match:
    raise ValueError(
      "--accelerator_type reads like v5litepod-16 or v4-32, got"
      f" {accelerator_type}"
    )
  kind, size = match[1], int(match[2])
  if kind in ("v5litepod", "v6e"):
    return 1 if size <= 8 else -(-size // 4)
  return max(1, size // 8)


def create(plan: Plan) -> list[str]:
  """The command that asks for the slice."""
  return gcloud.create(
    plan.tpu,
    plan.accelerator_type,
    plan.runtime_version,
    plan.spot,
    plan.create_options,
  )


def state(tpu: Slice) -> tuple[str, str]:
  """State of the request, and why it failed; `absent` where there is none."""
  try:
    found = gcloud.call_json(gcloud.describe(tpu))
  except gcloud.NotFound:
    return "absent", ""
  state = found.get("state", {})
  if isinstance(state, str):
    return state, ""
  reason = state.get("failedData", {}).get("error", {}).get("message", "")
  return state.get("state", "unknown"), reason


def num_workers(tpu: Slice) -> int:
  """How many workers a slice has; NotFound where its VMs are gone."""
  vm = gcloud.call_json(gcloud.describe_vm(tpu))
  if vm.get("state") in _GONE:
    raise gcloud.NotFound(f"the VMs of {tpu.name} are {vm['state'].lower()}")
  return len(vm.get("networkEndpoints", [])) or 1


def worker_states(
  plan: Plan, num: int, anew: bool = False
) -> list[tuple[str, str]]:
  """Index and state of each worker, as `tpu_worker.state` has them.

  Args:
    plan: what is wanted.
    num: how many workers there are.
    anew: what does not run is idle, however it ended.

  Raises:
    LostWorker: not all of them answer; `printed` is empty where none does.
  """
  reason = ""
  try:
    text = gcloud.call(ask_states(plan, num, anew))
  except gcloud.LostWorker as error:
    text, reason = error.printed, f": {error}"
  found = re.findall(r"^worker (\d+|\?) (.+?)\s*$", text, re.MULTILINE)
  if len(found) < num:
    raise gcloud.LostWorker(
      f"{num - len(found)} of {num} workers of {plan.tpu.name} do not answer"
      f"{reason}",
      text if found else "",
    )
  return sorted(found)


def ask_states(plan: Plan, num: int, anew: bool = False) -> list[str]:
  """The command that asks for the states of the workers."""
  return gcloud.ssh(plan.tpu, tpu_worker.state(plan.sweep, num, anew))


def stop(plan: Plan) -> list[str]:
  """The command that has all workers save what they train, and end."""
  return gcloud.ssh(plan.tpu, tpu_worker.stop())


@contextlib.contextmanager
def packed(plan: Plan) -> Iterator[str | None]:
  """This source tree as it is now, in a folder; None where a URL has it.

  Raises:
    ValueError: it cannot be copied.
  """
  if plan.git_url:
    yield None
    return
  with tempfile.TemporaryDirectory() as folder:
    _pack(pathlib.Path(folder))
    yield folder


def install(plan: Plan, folder: str | None) -> None:
  """Puts the source and what it needs on all workers; safe to repeat.

  Args:
    plan: what is wanted.
    folder: what `packed` has given.

  Raises:
    OSError: gcloud, or what it ran, failed.
  """
  for command in install_commands(plan, folder):
    gcloud.call(command)


def install_commands(plan: Plan, folder: str | None) -> list[list[str]]:
  """The commands that install; this source tree is packed in a folder."""
  commands = []
  if not plan.git_url:
    for name in (tpu_worker.BUNDLE, tpu_worker.PATCH):
      file = str(pathlib.Path(folder or "") / name)
      commands.append(gcloud.scp(plan.tpu, file, name))
  script = tpu_worker.install(plan.git_url, plan.git_ref, plan.python)
  return [*commands, gcloud.ssh(plan.tpu, script)]


def start(plan: Plan, num: int) -> list[str]:
  """Starts all workers that neither run nor are done; a line of each."""
  if plan.config_file:
    with tempfile.NamedTemporaryFile(suffix=".py") as file:
      file.write(plan.config_file.content)
      file.flush()
      gcloud.call(_copy_config(plan.tpu, plan.config_file, file.name))
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    starts = _start_commands(plan, num)
    return [text.strip() for text in pool.map(gcloud.call, starts)]


def start_commands(plan: Plan, num: int) -> list[list[str]]:
  """The commands that start workers; a config's file is copied before."""
  file = plan.config_file
  copies = [_copy_config(plan.tpu, file, file.path)] if file else []
  return copies + _start_commands(plan, num)


def _copy_config(tpu: Slice, file: ConfigFile, path: str) -> list[str]:
  return gcloud.scp(tpu, path, f"{tpu_worker.FOLDER}/{file.copied}")


def _start_commands(plan: Plan, num: int) -> list[list[str]]:
  return [
    gcloud.ssh(
      plan.tpu,
      tpu_worker.start(plan.sweep, worker, num, plan.shards),
      worker,
    )
    for worker in range(num)
  ]


def _pack(folder: pathlib.Path) -> None:
  """The commit of this source tree as a bundle, and its changes as a patch."""
  if _git("rev-parse", "--is-shallow-repository").strip() == "true":
    raise ValueError(
      f"{TREE} is a shallow clone, which nothing can be fetched from; call git"
      " fetch --unshallow there, or give --git_url"
    )
  bundle, patch = folder / tpu_worker.BUNDLE, folder / tpu_worker.PATCH
  _git("bundle", "create", "--quiet", bundle, "HEAD")
  # As git apply reads it, whatever the user likes to see.
  options = ("--binary", "--no-ext-diff", "--no-textconv", "--no-color", "-U3")
  names = ("--src-prefix=a/", "--dst-prefix=b/", "--no-relative")
  _git("diff", "HEAD", *options, *names, f"--output={patch}")


def _git(*words: str | pathlib.Path) -> str:
  try:
    return subprocess.run(
      ["git", "-C", TREE, *words], check=True, capture_output=True, text=True
    ).stdout
  except FileNotFoundError as error:
    raise ValueError("git is not installed here; give --git_url") from error
  except subprocess.CalledProcessError as error:
    raise ValueError(
      f"{TREE} cannot be copied as a checkout of git; give --git_url:"
      f" {error.stderr.strip()}"
    ) from error
