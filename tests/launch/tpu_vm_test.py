"""`launch.tpu_vm`: the commands that it prints, and what workers do of them."""

import os
import re
import shlex
import signal
import subprocess
import time

import pytest

from tests.gcloud_reference import require_in_reference
from tests.mains import (
  ROOT,
  assert_one_line_error,
  overridden,
  read_transcript,
  run_main,
)

README = (ROOT / "launch" / "README.md").read_text(encoding="utf-8")
README_FLAGS = re.search(r'^    TPU="(.*)"\n', README, re.MULTILINE)
README_WORDS, README_SHOWN = read_transcript("python -m launch.tpu_vm")
assert README_FLAGS

GIVEN = [
  *("--config=count_width", "--workdir=gs://bucket/paper", "--zone=z"),
  "--accelerator_type=v5litepod-16",
]
RUNS = {
  **{do: [f"--do={do}"] for do in ("logs", "fetch", "delete")},
  "all": [
    *("--do=run", "--project=p", "--ssh_option=--internal-ip"),
    *("--override=seeds.block=4", "--override=eval.items=8", "--seeds=0-31"),
    *("--keep_params=final", "--config=some where/mine.py"),
  ],
  "create": ["--do=create", "--spot", "--create_option=--service-account=me"],
  "one host": ["--do=run", "--accelerator_type=v5litepod-8"],
  "cores": ["--do=run", "--accelerator_type=v4-32"],
  "together": ["--do=run", "--distributed"],
  "readme": shlex.split(README_WORDS.replace("$TPU", README_FLAGS[1])),
  "no bucket": ["--do=run", "--workdir=/tmp/x"],
  "shard": ["--do=run", "--shard=0/2"],
  "topology": ["--do=run", "--topology=v5e:2x2"],
  "no workdir": ["--do=run", "--workdir="],
  "accelerator": ["--do=run", "--accelerator_type=v5e"],
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
  """What a dry run prints, for each of RUNS; where it is refused, why."""
  folder = tmp_path_factory.mktemp("printed")
  config = folder / "some where" / "mine.py"
  config.parent.mkdir()
  config.write_text("from experiments.configs.count_width import config")

  def run(words):
    given = overridden(GIVEN, words)
    done = run_main("launch.tpu_vm", *given, "--dry_run", cwd=folder)
    return done.stderr or done.stdout

  return {name: run(words) for name, words in RUNS.items()}


def commands(text):
  return [shlex.split(line) for line in text.splitlines()]


def is_script(word):
  return word.startswith("--command=")


def sweeps(text):
  """Worker and script of each command that starts a sweep."""
  return [
    (next(w for w in words if w.startswith("--worker")), words[-1])
    for words in (sorted(c, key=is_script) for c in commands(text))
    if is_script(words[-1]) and "experiments.sweep" in words[-1]
  ]


@pytest.mark.parametrize(
  "name", ["create", "all", "together", "logs", "fetch", "delete"]
)
def test_gcloud_knows_the_commands_of(name, printed):
  found = [c for c in commands(printed[name]) if c[0] == "gcloud"]
  assert found
  for command in found:
    require_in_reference(command)


def test_each_worker_trains_its_share_with_its_own_chips(printed):
  found = sweeps(printed["all"])
  assert [worker for worker, _ in found] == [f"--worker={i}" for i in range(4)]
  for i, (_, script) in enumerate(found):
    flags = re.search(r"-m experiments\.sweep (.*) >> log", script)
    assert flags
    assert sorted(shlex.split(flags[1])) == sorted(
      [
        *("--config=../emergence_config.py", "--workdir=gs://bucket/paper"),
        *("--override=seeds.block=4", "--override=eval.items=8"),
        *("--seeds=0-31", "--keep_params=final", f"--shard={i}/4"),
      ]
    )
    assert "TPU_PROCESS_BOUNDS=1,1,1" in script
  assert "'some where/mine.py' emergence:emergence_config.py" in printed["all"]
  gcloud = [c for c in commands(printed["all"]) if c[0] == "gcloud"]
  for command in gcloud:
    assert {"--project=p", "--internal-ip"} <= set(command)


def test_each_host_of_a_slice_has_a_shard(printed):
  ((_, script),) = sweeps(printed["one host"])
  assert "--shard=0/1" in script
  assert "TPU_" not in script  # Bounds are for hosts beside others.
  assert len(sweeps(printed["cores"])) == 4  # One for eight of them.


def test_one_population_has_no_shares_and_the_whole_slice(printed):
  ((worker, script),) = sweeps(printed["together"])
  assert worker == "--worker=all"
  assert "--distributed" in script
  assert "--shard" not in script
  assert "TPU_" not in script


def test_the_readme_shows_what_is_printed(printed):
  shown = printed["readme"].replace(str(ROOT), "/home/ada/emergence")
  assert shown.strip() == README_SHOWN


@pytest.mark.parametrize(
  ("name", "part"),
  [
    ("no bucket", "a bucket, such as gs://BUCKET/FOLDER, got /tmp/x"),
    ("shard", "--shard is for experiments.sweep"),
    ("topology", "--topology is for experiments.sweep"),
    ("no workdir", "--workdir is empty"),
    ("accelerator", "expects a name such as v5litepod-16 or v4-32, got v5e"),
  ],
)
def test_a_mistake_costs_no_slice(name, part, printed):
  assert printed[name].startswith("error: ")
  assert part in printed[name]


# Runs on each worker, which is a folder and its home, what ssh is to run there.
GCLOUD = """\
#!/bin/bash
cd {folder}
for word; do
  case "$word" in
    --worker=*) workers="${{word#*=}}";;
    --command=*) script="${{word#*=}}";;
  esac
done
[ "$workers" = all ] && workers="0 1 2 3"
for worker in $workers; do
  export HOME={folder}/$worker
  case "$4" in
    scp) cp "$5" "$HOME/${{6#*:}}";;
    ssh) (cd && PATH={folder}/worker_bin:$PATH bash -c "$script") || exit 1;;
  esac
done
"""
# What uv makes of an environment.
UV = """\
#!/bin/bash
[ "$3" != venv ] || { mkdir -p .venv/bin; cp ~/../sweep .venv/bin/python; }
"""
SWEEP = """\
#!/bin/bash
echo "$CLOUD_TPU_TASK_ID" "$@" "$(cat changed.txt)" >> ~/sweeps
echo training
echo $$ > ~/pid
exec sleep 600
"""
MAIN = """
import pathlib
from experiments import command
from launch import tpu_vm
tpu_vm.TREE = pathlib.Path({tree!r})
command.run(tpu_vm.main)
"""


class FakeSlice:
  """Four workers and a source tree, in a folder; a stand-in for gcloud."""

  def __init__(self, folder):
    self.folder, self.tree = folder, folder / "tree"
    for name, text in {
      "bin/gcloud": GCLOUD.format(folder=folder),
      "worker_bin/python3": UV,
      "sweep": SWEEP,
    }.items():
      file = folder / name
      file.parent.mkdir(exist_ok=True)
      file.write_text(text)
      file.chmod(0o755)
    self.workers = [folder / str(i) for i in range(4)]
    for path in (*self.workers, self.tree / "emergence"):
      path.mkdir(parents=True)
    self.commit("old")

  def commit(self, text):
    (self.tree / "changed.txt").write_text(text)
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", text]):
      git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *words]
      subprocess.run(git, check=True, cwd=self.tree)

  def call(self, *words):
    return run_main(
      *("launch.tpu_vm", *GIVEN, *words),
      patch=MAIN.format(tree=str(self.tree)),
      PATH=f"{self.folder / 'bin'}:{os.environ['PATH']}",
    )

  def run(self):
    """Starts what is not running; returns what was said of that."""
    done = self.call("--do=run")
    assert (done.returncode, done.stderr) == (0, "")
    said = [l.partition(": ")[2] for l in done.stdout.splitlines()[:-1]]
    for worker in self.workers:
      self.wait(lambda worker=worker: (worker / "pid").exists())
    return said

  def kill(self, worker):
    pid = worker / "pid"
    os.kill(int(pid.read_text()), signal.SIGKILL)
    pid.unlink()
    lock = ["flock", "-n", worker / "emergence" / ".running", "true"]
    self.wait(lambda: subprocess.run(lock).returncode == 0)

  def wait(self, condition):
    end = time.monotonic() + 60
    while not condition():
      assert time.monotonic() < end
      time.sleep(0.01)

  def sweeps(self, i):
    return (self.folder / str(i) / "sweeps").read_text().splitlines()


@pytest.fixture
def tpu(tmp_path):
  tpu = FakeSlice(tmp_path)
  yield tpu
  for worker in tpu.workers:
    if (worker / "pid").exists():
      tpu.kill(worker)


def test_what_runs_is_left_alone_and_what_was_killed_is_started_again(tpu):
  assert tpu.run() == ["started"] * 4
  sweep = "0 -m experiments.sweep --config=count_width"
  for i in range(4):
    assert tpu.sweeps(i) == [
      f"{sweep} --workdir=gs://bucket/paper --shard={i}/4 old"
    ]
  tpu.commit("new")
  tpu.kill(tpu.folder / "2")
  alone = "a sweep is running and left alone"
  assert sorted(tpu.run()) == sorted([*[alone] * 6, "started"])
  assert [len(tpu.sweeps(i)) for i in range(4)] == [1, 1, 2, 1]
  assert tpu.sweeps(2)[1].endswith("--shard=2/4 new")


def test_what_is_not_committed_is_refused(tpu):
  (tpu.tree / "emergence" / "new.py").touch()
  refused = tpu.call("--do=run")
  assert_one_line_error(refused, 2, "these changes first: emergence/new.py")
