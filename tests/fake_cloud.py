"""A cloud whose `gcloud` is fake_gcloud.py, and the slice that is wanted."""

import json
import os
import pathlib
import subprocess
import sys

from launch import tpu_slice, tpu_watch
from launch.gcloud import Slice
from launch.tpu_slice import Plan

TESTS = pathlib.Path(__file__).parent
TPU = Slice("tpu", "us-west4-a")
SWEEP = ("--config=tiny", "--workdir=gs://bucket/a b", "--override=x='$HOME'")
PLAN = Plan(
  TPU, "v5litepod-8", "v2", False, (), None, "HEAD", "3.12", None, SWEEP, True
)
QUOTA = (
  "Quota limit 'TPUV5sPreemptibleLitepodPerProjectPerRegionForTPUAPI' has been"
  " exceeded. Limit: 0 in region us-west4."
)
LOST = (
  "ssh: connect to host 34.1.2.3 port 22: Connection timed out\nERROR:"
  " (gcloud.compute.tpus.tpu-vm.ssh) [/usr/bin/ssh] exited with return code"
  " [255]."
)
# What uv makes of an environment, with a sweep that ends as it is told to.
PYTHON = """\
#!/bin/bash
case "$2" in
  launch.tpu_worker) exec {python} "$@";;
  experiments.report) echo "reported ${{@:3}} on $JAX_PLATFORMS"; exit;;
esac
place="$CLOUD_TPU_TASK_ID$TPU_PROCESS_BOUNDS"
# In one write, as the sweeps of other workers begin meanwhile.
printf '%s\\n' "$place" "$@" > {folder}/words.$$
cat {folder}/words.$$ >> {folder}/sweeps.txt
echo training
code=$( (
  flock 9; head -n 1 {folder}/codes.txt; sed -i 1d {folder}/codes.txt
) 9> {folder}/lock)
[ "$code" = wait ] && trap 'exit 75' TERM && while true; do sleep 0.05; done
exit "${{code:-0}}"
"""
UV = """\
#!/bin/bash
[ "$3" = venv ] && mkdir -p .venv/bin && cp {folder}/python .venv/bin/python
exit 0
"""


class Cloud:
  """The stand-in for gcloud, and what is asked of it."""

  def __init__(self, folder):
    self.folder = folder
    self.play()

  def play(self, *states, workers=1, failures=()):
    content = {
      "states": states or ["ACTIVE"],
      "workers": workers,
      "failures": [
        {"times": 1, "code": 1, "stderr": "", "stdout": ""} | item
        for item in failures
      ],
    }
    (self.folder / "play.json").write_text(json.dumps(content))

  def end_sweeps_with(self, *codes):
    text = "".join(f"{code}\n" for code in codes)
    (self.folder / "codes.txt").write_text(text)

  def calls(self):
    file = self.folder / "calls.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]

  def verbs(self):
    """What was called, without the looks, and each run of the same once."""
    found = []
    for call in self.calls():
      verb = next(w for w in call[3:] if not w.startswith("queued-"))
      verb = call[4] if len(call) > 4 and call[1] == "compute" else verb
      if verb == "ssh":
        for name in ("state", "start", "install"):
          if f"tpu_worker {name} " in call[-1] or f"-m pip {name}" in call[-1]:
            verb = name
      if verb not in ("describe", "state", "scp") and found[-1:] != [verb]:
        found.append(verb)
    return found

  def sweeps(self):
    return (self.folder / "sweeps.txt").read_text().splitlines()


def make_cloud(folder):
  """The stand-in in a folder, and the environment that finds it."""

  def write(name, text):
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)

  fake = TESTS / "fake_gcloud.py"
  write("bin/gcloud", f'#!/bin/bash\nexec {sys.executable} -S {fake} "$@"\n')
  write("worker_bin/python3", UV.format(folder=folder))
  write("python", PYTHON.format(python=sys.executable, folder=folder))
  write("codes.txt", "")
  return Cloud(folder), {
    "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    "FAKE_GCLOUD": str(folder),
  }


def installed(folder, monkeypatch):
  """The stand-in is gcloud, and our source tree has an uncommitted change."""
  cloud, environment = make_cloud(folder)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  # What users like to see; and no signed commits, which some set.
  likes = folder / "gitconfig"
  likes.write_text("[diff]\nnoprefix = true\n[color]\nui = always\n")
  monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(likes))
  monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
  tree = folder / "tree"
  git = ["git", "-C", str(tree), "-c", "user.name=x", "-c", "user.email=x@x"]
  (tree / "launch").mkdir(parents=True)
  for name in ("__init__.py", "tpu_worker.py"):
    text = (TESTS.parent / "launch" / name).read_text()
    (tree / "launch" / name).write_text(text)
  (tree / "changed.txt").write_text("old\n")
  for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
    subprocess.run([*git, *words], check=True)
  (tree / "changed.txt").write_text("new\n")
  monkeypatch.setattr(tpu_slice, "TREE", tree)
  monkeypatch.setattr(tpu_watch, "_PATIENCE_SECONDS", 0.0)
  return cloud


def watch(plan=PLAN):
  """What was told until all workers were done."""
  told = []
  tpu_watch.watch(plan, 0.05, tpu_watch.tell_once(told.append))
  return told


def install(plan=PLAN):
  """Packs the source tree and installs it on all workers."""
  with tpu_slice.packed(plan) as folder:
    tpu_slice.install(plan, folder)
