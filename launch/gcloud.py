"""The commands of Google's `gcloud` that a TPU slice takes, and running them.

What gcloud takes is in tests/gcloud_reference.txt, with its source.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

_TPUS = ["gcloud", "compute", "tpus"]
# A VM that is taken away in the middle of a command says nothing more; ssh
# gives up after two minutes then, where the system would after hours.
_GIVE_UP = ("-oServerAliveInterval=30", "-oServerAliveCountMax=4")


class Slice(NamedTuple):
  """A slice of TPU chips, by the name of its queued resource and of its VMs.

  Attributes:
    name: of both.
    zone: such as us-west4-a.
    project: None is the one that gcloud is set to.
    ssh_options: of gcloud, for `ssh` and `scp`, such as --internal-ip.
  """

  name: str
  zone: str
  project: str | None = None
  ssh_options: tuple[str, ...] = ()


class Refusal(OSError):
  """gcloud refuses, and will again until the user does something."""


class Failure(OSError):
  """A command of gcloud failed; another time it may not."""


class NotFound(Failure):
  """There is no such slice."""


class LostWorker(Failure):
  """A worker does not answer.

  Attributes:
    printed: what others said all the same.
  """

  def __init__(self, message: str, printed: str = ""):
    super().__init__(message)
    self.printed = printed


def create(
  tpu: Slice,
  accelerator_type: str,
  runtime_version: str,
  spot: bool,
  options: Sequence[str] = (),
) -> list[str]:
  """Asks for a slice; it is there once its queued resource is ACTIVE."""
  return [
    *_command(tpu, "queued-resources", "create"),
    f"--node-id={tpu.name}",
    f"--accelerator-type={accelerator_type}",
    f"--runtime-version={runtime_version}",
    *(["--spot"] if spot else []),
    *options,
    "--async",
  ]


def describe(tpu: Slice) -> list[str]:
  """Tells, as JSON, how the request stands."""
  return [*_command(tpu, "queued-resources", "describe"), "--format=json"]


def describe_vm(tpu: Slice) -> list[str]:
  """Tells, as JSON, of the VMs of a slice that is there."""
  return [*_command(tpu, "tpu-vm", "describe"), "--format=json"]


def delete(tpu: Slice) -> list[str]:
  """Gives the slice back, its VMs and the request."""
  return [*_command(tpu, "queued-resources", "delete"), "--force"]


def ssh(tpu: Slice, script: str, worker: int | str = "all") -> list[str]:
  """Has workers run a script of their shell."""
  return [
    *_command(tpu, "tpu-vm", "ssh"),
    f"--worker={worker}",
    *tpu.ssh_options,
    *(f"--ssh-flag={option}" for option in _GIVE_UP),
    f"--command={script}",
  ]


def scp(tpu: Slice, file: str, target: str) -> list[str]:
  """Copies a local file to all workers, below their home."""
  command = _command(tpu, "tpu-vm", "scp")
  place = command.index(tpu.name)
  command[place : place + 1] = [file, f"{tpu.name}:{target}"]
  options = [f"--scp-flag={option}" for option in _GIVE_UP]
  return [*command, "--worker=all", *tpu.ssh_options, *options]


def copy_from_bucket(source: Sequence[str], folder: str) -> list[str]:
  """Copies objects and folders of a bucket into a local folder."""
  return ["gcloud", "storage", "cp", "--recursive", *source, folder]


def call(command: Sequence[str]) -> str:
  """Runs a command of gcloud, and returns what it printed.

  Raises:
    Refusal: gcloud is not there, nobody is logged in, ssh-agent lacks the key,
      a quota is used up, or something else is not allowed.
    NotFound: there is no such slice.
    LostWorker: a worker does not answer.
    Failure: anything else went wrong.
  """
  try:
    done = subprocess.run(
      command, capture_output=True, text=True, errors="replace"
    )
  except OSError as error:
    raise _cannot_run(error) from error
  if done.returncode:
    raise to_error(command, done.returncode, done.stderr, done.stdout)
  return done.stdout


def follow(command: Sequence[str]) -> None:
  """Runs a command on this terminal until it ends; errors as those of `call`.

  What went wrong stands on the terminal already.
  """
  try:
    code = subprocess.run(command).returncode
  except OSError as error:
    raise _cannot_run(error) from error
  if code:
    raise Failure(f"gcloud ended with exit code {code}: {_short(command)}")


def call_json(command: Sequence[str]) -> dict[str, Any]:
  """Runs a command that prints an object as JSON; errors as those of `call`."""
  text = call(command)
  try:
    content = json.loads(text)
  except ValueError as error:
    raise Failure(f"{_short(command)}: no JSON came back: {error}") from error
  if not isinstance(content, dict):
    raise Failure(f"{_short(command)}: no object came back")
  return content


def to_error(
  command: Sequence[str], code: int, stderr: str, stdout: str = ""
) -> OSError:
  """The error that the messages of a command mean, with the one that counts."""
  lines = [line.strip() for line in stderr.splitlines() if line.strip()]
  # Before gcloud's own error stands what a worker said, or a try of ssh.
  own = re.search(r"^ERROR: \(gcloud.*", stderr, re.MULTILINE | re.DOTALL)
  own = own[0] if own else ""
  errors = [line for line in lines if line.startswith("ERROR: (gcloud")]
  line = (errors or lines or [f"exit code {code}"])[-1]
  line = re.sub(r"^ERROR: (\([^)]*\) )?", "", line)
  if re.search(r"active account|auth login|[Rr]eauthentication", own):
    return Refusal(f"nobody is logged in; run gcloud auth login: {line}")
  if re.search(r"core/project|\[project\]", own):
    return Refusal(f"gcloud has no project; give --project: {line}")
  if re.search(r"not present in the SSH agent", own):
    return Refusal(f"gcloud reaches several workers through ssh-agent: {line}")
  if is_quota(own):
    return out_of_quota(line)
  if re.search(r"NOT_FOUND|was not found|HTTPError 404", own):
    return NotFound(line)
  # Of several workers, gcloud's threads tell by the exit code alone.
  if re.search(r"return code \[255\]|exit status 255", own) or (
    "ssh" in command and code == 255
  ):
    return LostWorker(f"a worker does not answer: {line}", stdout)
  if re.search(r"PERMISSION_DENIED|INVALID_ARGUMENT|ALREADY_EXISTS", own):
    return Refusal(f"gcloud: {line}")
  if code == 2 and own:  # argparse's: the command itself is wrong.
    return Refusal(f"gcloud: {line}")
  return Failure(f"gcloud: {line}")


def out_of_quota(message: str) -> Refusal:
  """The error that such a message means."""
  return Refusal(
    f"quota: {message}; ask for more in the Google Cloud console, or choose"
    " another --zone or --accelerator_type"
  )


def is_quota(message: str) -> bool:
  """Whether a message says that a quota is used up."""
  return bool(re.search(r"[Qq]uota.*(exceeded|exhausted)", message))


def show(command: Sequence[str]) -> str:
  """A command as one would type it."""
  return shlex.join(command)


def _command(tpu: Slice, group: str, verb: str) -> list[str]:
  project = [f"--project={tpu.project}"] if tpu.project else []
  zone = f"--zone={tpu.zone}"
  return [*_TPUS, group, verb, tpu.name, zone, *project, "--quiet"]


def _short(command: Sequence[str]) -> str:
  return shlex.join([word for word in command if len(word) < 80])


def _cannot_run(error: OSError) -> Refusal:
  if isinstance(error, FileNotFoundError):
    return Refusal(
      "gcloud is not installed, or not on PATH; see"
      " https://cloud.google.com/sdk/docs/install"
    )
  return Refusal(f"gcloud cannot be run: {error.strerror}")
