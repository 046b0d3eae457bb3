import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time

import pytest

from launch import gcloud, tpu_slice, tpu_watch, tpu_worker
from launch.gcloud import Slice
from launch.tpu_slice import ConfigFile, Plan

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
printf '%s\\n' "$place" "$@" >> {folder}/sweeps.txt
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


@pytest.fixture
def cloud(tmp_path, monkeypatch):
  cloud, environment = make_cloud(tmp_path)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  # A source tree, with one change that is not committed.
  tree = tmp_path / "tree"
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


def test_a_slice_is_asked_for_installed_started_and_watched(cloud):
  cloud.play(
    *("CREATING", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"), workers=2
  )
  told = watch()
  assert cloud.verbs() == ["create", "install", "start"]
  assert told[:4] == [
    "asking for v5litepod-8 in us-west4-a",
    "tpu is being made",
    "tpu waits in the queue, as nothing is free",
    "tpu gets its machines",
  ]
  assert told[-1] == "0 of 2 workers train, 2 are done"
  home = cloud.folder / "worker-1" / "emergence"
  assert (home / "changed.txt").read_text() == "new\n"
  assert (home / ".launch" / "log").read_text() == "training\n"
  common = ["-m", "experiments.sweep", *SWEEP]
  sweeps = "\n".join(cloud.sweeps())
  for worker in (0, 1):
    words = ["01,1,1", *common, f"--shard={worker}/2"]
    assert "\n".join(words) in sweeps


@pytest.mark.slow
def test_the_same_command_asks_the_sweep_whether_anything_is_left(cloud):
  cloud.end_sweeps_with(2)
  with pytest.raises(gcloud.Refusal):
    watch()
  for number in (2, 3):
    assert watch()[-1] == "0 of 1 workers train, 1 are done"
    assert cloud.sweeps().count("-m") == number
  assert cloud.verbs() == ["create", "install", "start"]


@pytest.mark.slow
def test_a_worker_that_trains_is_watched_by_who_comes_later(cloud):
  watch()
  cloud.end_sweeps_with("wait")
  tpu_slice.start(PLAN._replace(sweep=("--config=other",)), 1)
  told, plan = [], PLAN._replace(sweep=("--config=other",))

  def tell(text):
    told.append(text)
    if len(told) == 2:
      gcloud.call(tpu_slice.stop(PLAN))

  tpu_watch.watch(plan, 0.05, tell)
  assert told[:2] == 2 * ["1 of 1 workers train, 0 are done"]


def test_installing_forgets_what_was_done(cloud):
  watch()
  states = lambda: tpu_slice.worker_states(PLAN, 1)
  assert states() == [("0", "exit 0")]
  install()
  assert states() == [("0", "idle")]


def test_a_slice_of_one_host_is_left_as_it_is(cloud):
  watch()
  assert cloud.sweeps()[0] == ""
  assert cloud.sweeps()[-1] == "--shard=0/1"


def test_one_program_over_all_workers_has_no_shards(cloud):
  cloud.play(workers=2)
  watch(PLAN._replace(shards=False))
  assert cloud.sweeps() == 2 * ["", "-m", "experiments.sweep", *SWEEP]


def test_a_slice_that_was_preempted_is_asked_for_anew_and_goes_on(cloud):
  cloud.play("ACTIVE", "ACTIVE", "SUSPENDING", "SUSPENDED", "ACTIVE")
  cloud.end_sweeps_with(75, 75)
  told = watch()
  assert cloud.verbs()[:3] == ["create", "install", "start"]
  assert cloud.verbs().count("delete") == 1
  after = cloud.verbs()[cloud.verbs().index("delete") :]
  assert after == ["delete", "create", "install", "start"]
  assert "tpu was preempted; asking anew" in told


def test_a_worker_that_was_stopped_or_killed_is_started_again(cloud):
  cloud.end_sweeps_with(75, 137, 1, 0)
  watch()
  assert cloud.sweeps().count("-m") == 4


def test_a_worker_that_ends_soon_again_and_again_ends_the_watch(cloud):
  cloud.end_sweeps_with(1, 75, 1, 134, 134, 0)
  expected = r"ended 4 times within 2 hours, at last: exit 134; see --do=log"
  with pytest.raises(gcloud.Refusal, match=expected):
    watch()
  assert cloud.sweeps().count("-m") == 5


@pytest.mark.slow
def test_a_worker_that_ends_now_and_then_is_started_again(cloud, monkeypatch):
  monkeypatch.setattr(tpu_watch, "_END_SECONDS", 0.0)
  cloud.end_sweeps_with(1, 1, 1, 1, 0)
  watch()
  assert cloud.sweeps().count("-m") == 5


def test_those_who_train_one_program_are_started_together(cloud):
  cloud.play(workers=2)
  cloud.end_sweeps_with("wait", 1)
  told = watch(PLAN._replace(shards=False))
  assert "1 of 2 workers train one program; stopping them" in told
  assert cloud.sweeps().count("-m") == 4


@pytest.mark.slow
def test_who_was_done_with_one_program_takes_part_again(cloud):
  cloud.play(workers=2)
  cloud.end_sweeps_with(0, 1)
  watch(PLAN._replace(shards=False))
  assert cloud.sweeps().count("-m") == 4


def test_a_worker_that_ended_with_an_error_ends_the_watch(cloud):
  cloud.end_sweeps_with(2)
  with pytest.raises(
    gcloud.Refusal, match=r"worker 0 .* exit code 2; see --do"
  ):
    watch()


def test_a_worker_that_trains_something_else_is_left_alone(cloud):
  cloud.play()
  watch()
  left = cloud.folder / "worker-0" / "emergence" / ".launch"
  with subprocess.Popen(
    [sys.executable, "-c", "input()", "launch.tpu_worker"],
    stdin=subprocess.PIPE,
  ) as other:
    (left / "pid").write_text(str(other.pid))
    (left / "task").write_text("other")
    with pytest.raises(gcloud.Refusal, match="trains something else"):
      watch()
    assert other.poll() is None
    other.communicate(b"\n")


def test_stockout_is_waited_for_and_asked_again(cloud):
  error = {"code": 8, "message": "There is no more capacity in the zone"}
  failed = {"state": "FAILED", "failedData": {"error": error}}
  cloud.play("WAITING_FOR_RESOURCES", failed, "ACTIVE")
  told = watch()
  assert (
    "tpu failed: There is no more capacity in the zone; asking anew" in told
  )
  assert cloud.verbs() == ["create", "delete", "create", "install", "start"]


@pytest.mark.parametrize("when", ["asked", "later"])
def test_a_quota_that_is_used_up_ends_it(cloud, when):
  if when == "asked":
    text = f"ERROR: (gcloud.compute.tpus.queued-resources.create) {QUOTA}"
    cloud.play(failures=[{"in": "create", "stderr": text}])
  else:
    failed = {"state": "FAILED", "failedData": {"error": {"message": QUOTA}}}
    cloud.play(failed)
  with pytest.raises(gcloud.Refusal, match=r"^quota: Quota limit .*; ask for"):
    watch()
  assert cloud.verbs() == ["create"]


def test_a_worker_that_does_not_answer_for_a_moment_is_asked_again(cloud):
  cloud.play(failures=[{"in": "tpu_worker state", "stderr": LOST, "times": 2}])
  told = watch()
  assert any("a worker does not answer" in text for text in told)
  assert cloud.verbs() == ["create", "install", "start"]


def test_a_worker_that_is_lost_while_others_answer_costs_the_slice(cloud):
  lost = {"in": "tpu_worker state", "stderr": LOST, "times": 3}
  cloud.play(workers=2, failures=[lost | {"stdout": "worker 0 running"}])
  told = watch()
  assert any("1 of 2 workers of tpu do not answer" in text for text in told)
  assert "tpu has lost a worker; asking for another slice" in told
  assert cloud.verbs() == ["create", "delete", "create", "install", "start"]


def test_vms_that_are_gone_cost_the_slice(cloud):
  text = "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: no such node"
  cloud.play(failures=[{"in": "tpu-vm describe", "stderr": text, "times": 3}])
  watch()
  assert cloud.verbs() == ["create", "delete", "create", "install", "start"]


@pytest.mark.slow
def test_slice_after_slice_is_not_given_up_for_ever(cloud):
  text = "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: no such node"
  cloud.play(failures=[{"in": "tpu-vm describe", "stderr": text, "times": 99}])
  with pytest.raises(gcloud.NotFound, match="no such node"):
    watch()
  assert cloud.verbs() == 2 * ["create", "delete"] + ["create"]


def test_a_slice_none_of_whose_workers_answers_is_left_alone(cloud):
  failure = {"in": "tpu_worker state", "stderr": LOST, "times": 99}
  cloud.play(workers=2, failures=[failure])
  with pytest.raises(gcloud.Failure, match=r"left as it is.*until --do=delete"):
    watch()
  assert cloud.verbs() == ["create"]


@pytest.mark.slow
def test_a_slice_is_given_time_before_it_is_given_up(cloud, monkeypatch):
  monkeypatch.setattr(tpu_watch, "_PATIENCE_SECONDS", 9e9)
  text = "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: no such node"
  cloud.play(failures=[{"in": "tpu-vm describe", "stderr": text, "times": 7}])
  watch()
  assert cloud.verbs() == ["create", "install", "start"]


# What a worker says, and what gcloud does.
@pytest.mark.parametrize(
  ("kind", "code", "stderr"),
  [
    (gcloud.Failure, 1, "pip-9.whl was not found in the package registry"),
    (gcloud.Failure, 1, "OSError: [Errno 122] Disk quota exceeded"),
    (gcloud.Failure, 2, "error: Failed to fetch: HTTPError 404"),
    (
      gcloud.Failure,
      1,
      "Retrying: [/usr/bin/ssh] exited with return code [255]",
    ),
    (gcloud.Failure, 1, "google.api PERMISSION_DENIED: storage.objects.create"),
    (gcloud.LostWorker, 255, "CommandError: exited with return code [255]."),
    (gcloud.LostWorker, 1, LOST),
    (gcloud.NotFound, 1, "ERROR: (gcloud.compute) NOT_FOUND: no such node"),
    (gcloud.Refusal, 2, "ERROR: (gcloud.compute) unrecognized arguments: --x"),
    (gcloud.Refusal, 1, f"ERROR: (gcloud.compute) {QUOTA}"),
  ],
)
def test_only_what_gcloud_says_is_of_the_slice(kind, code, stderr):
  error = gcloud.to_error(gcloud.ssh(TPU, "uv pip install"), code, stderr)
  assert type(error) is kind


def test_failures_that_do_not_end_do(cloud):
  text = "ERROR: (gcloud) UNAVAILABLE: The service is currently unavailable."
  cloud.play(failures=[{"in": "describe", "stderr": text, "times": 99}])
  with pytest.raises(gcloud.Failure, match="UNAVAILABLE"):
    watch()
  assert len(cloud.calls()) == 6


def test_whoever_is_not_logged_in_is_told_how(cloud):
  text = textwrap.dedent("""\
    ERROR: (gcloud.compute.tpus.queued-resources.describe) You do not currently have an active account selected.
    Please run:

      $ gcloud auth login

    to obtain new credentials.""")  # noqa: E501
  cloud.play(failures=[{"in": "describe", "stderr": text}])
  with pytest.raises(gcloud.Refusal, match="run gcloud auth login: You do not"):
    watch()


def test_whoever_has_no_key_in_the_agent_is_told_how(cloud):
  text = (
    "ERROR: (gcloud.compute.tpus.tpu-vm.ssh) SSH Key is not present in the SSH"
    ' agent. Please run "ssh-add /home/me/.ssh/google_compute_engine" to add'
    " it, and try again."
  )
  cloud.play(failures=[{"in": "tpu_worker state", "stderr": text}])
  with pytest.raises(gcloud.Refusal, match=r"ssh-agent: .*ssh-add /home/me"):
    watch()


def test_without_gcloud_there_is_one_line(cloud, monkeypatch):
  alone = cloud.folder / "alone"
  alone.mkdir()
  (alone / "git").symlink_to(shutil.which("git"))
  monkeypatch.setenv("PATH", str(alone))
  with pytest.raises(gcloud.Refusal, match="gcloud is not installed"):
    watch()


def test_a_tree_that_git_does_not_know_costs_no_slice(
  cloud, tmp_path, monkeypatch
):
  monkeypatch.setattr(tpu_slice, "TREE", tmp_path)
  with pytest.raises(ValueError, match="give --git_url"):
    watch()
  assert cloud.calls() == []


def test_a_shallow_clone_costs_no_slice(cloud, monkeypatch):
  tree, shallow = tpu_slice.TREE, cloud.folder / "shallow"
  for words in (
    ["-C", tree, "commit", "-q", "--allow-empty", "-m", "y"],
    ["clone", "-q", "--depth=1", f"file://{tree}", shallow],
  ):
    identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run(["git", *identity, *words], check=True)
  monkeypatch.setattr(tpu_slice, "TREE", shallow)
  with pytest.raises(ValueError, match="git fetch --unshallow"):
    watch()
  assert cloud.calls() == []


def install(plan=PLAN):
  with tpu_slice.packed(plan) as folder:
    tpu_slice.install(plan, folder)


def test_what_was_installed_with_new_files_is_replaced(cloud):
  git = ["git", "-C", str(tpu_slice.TREE)]
  new = tpu_slice.TREE / "new.txt"
  new.write_text("1\n")
  subprocess.run([*git, "add", "new.txt"], check=True)
  gcloud.call(tpu_slice.create(PLAN))
  install()
  new.write_text("2\n")
  install()
  home = cloud.folder / "worker-0" / "emergence"
  assert (home / "new.txt").read_text() == "2\n"
  subprocess.run([*git, "rm", "-q", "-f", "--cached", "new.txt"], check=True)
  install()
  assert not (home / "new.txt").exists()
  assert (home / ".venv" / "bin" / "python").exists()
  assert (home / ".launch" / "installed").exists()


def test_source_from_a_url_is_installed(cloud):
  gcloud.call(tpu_slice.create(PLAN))
  url = f"file://{tpu_slice.TREE}"
  install(PLAN._replace(git_url=url, git_ref="HEAD"))
  home = cloud.folder / "worker-0" / "emergence"
  assert (home / "changed.txt").read_text() == "old\n"


def test_a_config_in_a_file_is_copied_as_it_was_read(cloud, tmp_path):
  path = str(tmp_path / "my config.py")
  file, other = (ConfigFile(path, text) for text in (b"x = 1", b"x = 2"))
  watch(PLAN._replace(config_file=file))
  home = cloud.folder / "worker-0" / "emergence"
  assert (home / file.copied).read_bytes() == b"x = 1"
  assert file.copied.startswith(".launch/my-config-")
  assert file.copied != other.copied


def test_a_report_is_written_beside_a_sweep(cloud):
  watch()
  script = tpu_worker.report("gs://bucket/a b")
  assert gcloud.call(gcloud.ssh(TPU, script, 0)) == (
    "reported --workdir=gs://bucket/a b on cpu\n"
  )


def run_worker(*words):
  done = subprocess.run(
    [sys.executable, "-m", "launch.tpu_worker", *words],
    capture_output=True,
    text=True,
    env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
  )
  assert done.returncode == 0, done.stderr
  return done.stdout.strip()


def wait_for(state):
  end = time.monotonic() + 10
  while (found := run_worker("state", "t")) != state:
    assert time.monotonic() < end, found


def test_a_worker_outlives_its_starter_and_stops_when_told(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  assert run_worker("state", "t") == "worker ? idle"
  script = (
    "trap 'echo saved; exit 75' TERM; echo begun;"
    " for i in $(seq 200); do sleep 0.05; done"
  )
  assert run_worker("start", "t", "3", "bash", "-c", script) == (
    "worker 3 started"
  )
  log = tmp_path / ".launch" / "log"
  while "begun" not in log.read_text():
    time.sleep(0.01)
  assert run_worker("state", "t") == "worker 3 running"
  assert run_worker("start", "t", "3", "false") == "worker 3 running"
  assert run_worker("start", "other", "3", "false") == "worker 3 busy"
  run_worker("stop")
  wait_for("worker 3 exit 75")
  assert log.read_text() == "begun\nsaved\n"
  run_worker("stop")
  assert run_worker("start", "t", "3", "true") == "worker 3 started"
  wait_for("worker 3 exit 0")
  assert run_worker("start", "t", "3", "false") == "worker 3 exit 0"


def test_a_worker_that_was_switched_off_has_died(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  run_worker("start", "t", "0", "true")
  wait_for("worker 0 exit 0")
  (tmp_path / ".launch" / "exit_code").unlink()
  # Another process has got its number.
  (tmp_path / ".launch" / "pid").write_text(str(os.getpid()))
  assert run_worker("state", "t") == "worker 0 died"


@pytest.mark.parametrize(
  ("accelerator_type", "hosts"),
  [
    ("v5litepod-1", 1),
    ("v5litepod-8", 1),
    ("v5litepod-16", 4),
    ("v6e-256", 64),
    ("v4-8", 1),
    ("v4-32", 4),
    ("v3-8", 1),
    ("v5p-128", 16),
  ],
)
def test_hosts_are_counted(accelerator_type, hosts):
  assert tpu_slice.num_hosts(accelerator_type) == hosts
  assert tpu_slice.runtime_version(accelerator_type)


RUN_ALL = """
import contextlib, io, json, sys
from absl import flags
from absl.testing import flagsaver
from etils import epath
from experiments import sweep_log
from launch import tpu_vm

sys.path.insert(0, sys.argv[2])
from bucket import installed

stack = contextlib.ExitStack()
stack.enter_context(installed("bucket")).other_machine().put_object(
  "bucket/paper/records/count/width-64/depth-4/seeds-000000-000031.parquet", b""
)
flags.FLAGS(["x", "--config=quickstart", "--workdir=w", "--zone=z"])
print(json.dumps(flags.FLAGS["dry_run"].help))
with flagsaver.flagsaver():
  flags.FLAGS(["x", "--shard=1/4"])
  logs = epath.Path("gs://bucket/logs")
  for text in "ab":
    with sweep_log.opened(logs, flags.FLAGS.shard) as file:
      file.write(text)
  print(json.dumps({file.name: file.read_text() for file in logs.iterdir()}))
for words in json.loads(sys.argv[1]):
  out = io.StringIO()
  with flagsaver.flagsaver(), contextlib.redirect_stdout(out):
    flags.FLAGS(["x", *words])
    try:
      tpu_vm.main()
    except (ValueError, OSError) as error:
      print("error:", error)
  print(json.dumps(out.getvalue()))
"""
CONFIG_FILE = "from experiments.configs.paper_count import config"
GIVEN = ["--config=paper_count", "--workdir=gs://bucket/paper", "--zone=z"]
README = (TESTS.parent / "launch" / "README.md").read_text(encoding="utf-8")
README_RUN = re.search(
  r"^    \$ python -m launch\.tpu_vm (.*)\n((?:    .*\n)+)",
  README,
  re.MULTILINE,
)
assert README_RUN
README_COMMANDS = re.findall(
  r"^    python -m launch\.tpu_vm (.*)", README, re.MULTILINE
)
ACTIONS = "train create install run stop log status report delete".split()
RUNS = {
  **{do: [f"--do={do}", "--dry_run"] for do in ACTIONS},
  "all": [
    *("--dry_run", "--spot", "--accelerator_type=v5litepod-16", "--project=p"),
    *("--create_option=--service-account=me", "--ssh_option=--internal-ip"),
    *("--override=seeds.block=4", "--override=eval.items=8", "--seeds=0-31"),
    *("--keep_params=final", "--config=some where/mine.py"),
  ],
  "together": [
    *("--dry_run", "--do=run", "--accelerator_type=v5litepod-16"),
    "--distributed",
  ],
  "readme": shlex.split(README_RUN[1]),
  **{
    f"readme {number}": [*shlex.split(line), "--dry_run"]
    for number, line in enumerate(README_COMMANDS)
  },
  "asked for": [
    *("--do=create", "--git_url=https://example.org/emergence"),
    *("--override=seeds.block=4", "--override=eval.items=8", "--seeds=0-31"),
    *("--config=some where/mine.py", "--ssh_option=--internal-ip"),
  ],
  "there": ["--do=status"],
  "part of it": [
    "--do=status",
    "--seeds=0-7,40",
    "--cells=count/width-128/depth-4,count/width-64/depth-4",
  ],
  "report there": ["--do=report", "--out=new/folder"],
  "deleted": ["--do=delete"],
  "not there": ["--do=status"],
  "no bucket": ["--workdir=/tmp/x"],
  "shard": ["--shard=0/2"],
  "process": ["--distributed", "--process_id=0"],
  "cells": ["--cells=nope"],
  "other cells": ["--cells=count/width-65/depth-4"],
  "seeds": ["--seeds=abc"],
  "override": ["--override=seeds.blok=4"],
  "accelerator": ["--accelerator_type=v5e"],
  "runtime": ["--accelerator_type=v9-8"],
  "name": ["--name=My TPU"],
  "python": ["--python=3.10"],
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
  """What the command prints, for each of RUNS; one start of Python in all."""
  folder = tmp_path_factory.mktemp("printed")
  config = folder / "some where" / "mine.py"
  config.parent.mkdir()
  config.write_text(CONFIG_FILE)
  _, environment = make_cloud(folder)
  runs = [[*GIVEN, *words] for words in RUNS.values()]
  environment |= {"PYTHONPATH": str(TESTS.parent), "JAX_PLATFORMS": "cpu"}
  done = subprocess.run(
    [sys.executable, "-c", RUN_ALL, json.dumps(runs), str(TESTS)],
    capture_output=True,
    text=True,
    cwd=folder,
    env=os.environ | environment,
  )
  assert done.returncode == 0, done.stderr
  assert (folder / "new" / "folder").is_dir()
  lines = done.stdout.splitlines()
  names = ["help", "logs", *RUNS]
  return {n: json.loads(line) for n, line in zip(names, lines, strict=True)}


def printed_commands(text):
  return [shlex.split(l) for l in text.splitlines() if not l.startswith("#")]


def reference():
  """For each command, its flags, and whether each takes a value."""
  lines = (TESTS / "gcloud_reference.txt").read_text().splitlines()
  takes_value = lambda text: {
    name: bool(value)
    for name, value in re.findall(r"(?<![\w-])(--[a-z0-9-]+)(=)?", text)
  }
  everywhere = takes_value(lines[-1])
  return {
    words[0].strip(): takes_value(line) | everywhere
    for line in lines
    if (words := re.split(r"(?=[\[(])| \[USER", line, maxsplit=1))[
      0
    ].startswith("gcloud ")
  }


def require_in_reference(command):
  known = reference()
  name = next(
    name for name in known if command[: len(name.split())] == name.split()
  )
  given = command[len(name.split()) :]
  for word in given:
    if word.startswith("--"):
      flag, equals, _ = word.partition("=")
      assert flag in known[name], f"{name} has no {flag}"
      assert known[name][flag] == bool(equals), f"{flag} of {name}"
  words = [word for word in given if not word.startswith("--")]
  assert len(words) == {"scp": 2, "cp": 4}.get(name.split()[-1], 1), command
  if name.endswith("create"):
    needed = ("--runtime-version", "--accelerator-type", "--node-id")
    assert set(needed) <= {word.partition("=")[0] for word in given}


@pytest.mark.parametrize("name", [*ACTIONS, "all"])
def test_gcloud_knows_the_commands_of(name, printed):
  commands = printed_commands(printed[name])
  assert commands
  for command in commands:
    require_in_reference(command)


def test_gcloud_knows_what_the_stand_in_was_called_with(cloud):
  cloud.play("ACTIVE", "SUSPENDED", "ACTIVE")
  watch()
  for command in cloud.calls():
    require_in_reference(command)


def test_a_flag_that_gcloud_does_not_know_is_found():
  with pytest.raises(AssertionError, match="has no --batch-size"):
    require_in_reference([*gcloud.ssh(TPU, "ls"), "--batch-size=4"])
  with pytest.raises(AssertionError, match="--spot of"):
    require_in_reference(
      [*gcloud.delete(TPU)[:3], "queued-resources"]
      + ["create", "x", "--spot=yes"]
    )


def test_a_dry_run_shows_each_worker_its_share(printed):
  text = printed["all"]
  starts = [
    command[-1]
    for command in printed_commands(text)
    if "experiments.sweep" in command[-1]
  ]
  assert len(starts) == 4
  config = ConfigFile("mine.py", CONFIG_FILE.encode()).copied
  assert f"emergence:emergence/{config}" in text
  for worker, start in enumerate(starts):
    words = shlex.split(start)
    sweep = words[words.index("experiments.sweep") + 1 :]
    assert sorted(sweep) == sorted(
      [
        *(f"--config={config}", "--workdir=gs://bucket/paper"),
        *("--override=seeds.block=4", "--override=eval.items=8"),
        *("--seeds=0-31", "--keep_params=final", f"--shard={worker}/4"),
      ]
    )
  assert "--spot" in text
  assert "--service-account=me" in text
  assert text.count("--project=p") == len(printed_commands(text))


def test_one_population_has_no_shares_and_the_whole_slice(printed):
  scripts = [words[-1] for words in printed_commands(printed["together"])]
  assert len(scripts) == 4
  for script in scripts:
    assert "--distributed" in script
    assert "--shard" not in script
    assert "TPU_" not in script


def test_the_readme_shows_what_is_printed(printed):
  assert README_RUN
  assert printed["readme"] == textwrap.dedent(README_RUN[2])


def test_the_readme_of_the_project_has_the_first_command():
  text = (TESTS.parent / "README.md").read_text(encoding="utf-8")
  lines = [l.strip() for l in text.splitlines() if "launch.tpu_vm --" in l]
  assert lines == [f"python -m launch.tpu_vm {README_COMMANDS[0]}"]


@pytest.mark.parametrize("number", range(3))
def test_the_commands_of_the_readme_are_commands(number, printed):
  assert len(README_COMMANDS) == 3
  assert printed[f"readme {number}"].startswith("# ")


def test_workers_that_begin_at_once_have_logs_of_their_own(printed):
  assert sorted(printed["logs"].values()) == ["a", "b"]
  for name in printed["logs"]:
    assert re.fullmatch(r"log-\d{8}-\d{6}-[0-9a-f]{8}-shard-1-of-4", name)


def test_a_dry_run_calls_nothing(printed):
  assert "commands of gcloud" in printed["help"]
  assert "--spot" not in printed["train"]
  assert [line for line in printed["train"].splitlines() if line[0] == "#"] == [
    "# ask for the slice",
    "# look, every 60 s",
    "# the last of these, at the first look",
    "# install",
    "# start the workers",
    "# only if it was preempted, before asking anew",
  ]


def test_the_command_that_is_told_asks_for_the_same(printed):
  told = re.fullmatch(
    r"asked for; python -m launch\.tpu_vm (.*) tells when it is there\n",
    printed["asked for"],
  )
  assert told
  assert sorted(shlex.split(told[1])) == sorted(
    [
      *("--do=status", "--config=some where/mine.py", "--zone=z"),
      *("--workdir=gs://bucket/paper", "--override=seeds.block=4"),
      *("--override=eval.items=8", "--seeds=0-31"),
      "--ssh_option=--internal-ip",
    ]
  )


def test_the_status_tells_of_slice_workers_and_cells(printed):
  first, second, *cells = printed["there"].splitlines()
  assert (first, second) == ("emergence  ACTIVE", "worker ?  absent")
  assert cells[0] == "count/width-64/depth-4  32 of 250 seeds"
  assert cells[-1] == "count/width-320/depth-4  0 of 250 seeds"
  assert printed["part of it"].splitlines()[2:] == [
    "count/width-64/depth-4  8 of 9 seeds",
    "count/width-128/depth-4  0 of 9 seeds",
  ]
  assert printed["deleted"] == (
    "emergence is deleted; gs://bucket/paper stays\n"
  )
  assert printed["not there"].splitlines() == ["emergence  absent", *cells]


@pytest.mark.parametrize(
  ("name", "part"),
  [
    ("no bucket", "share a bucket, gs://BUCKET/FOLDER, not /tmp/x"),
    ("shard", "--shard is nothing to give to a slice"),
    ("process", "--process_id is nothing to give to a slice"),
    ("cells", "nope"),
    ("other cells", "count/width-65/depth-4 is not in the grid"),
    ("seeds", "--seeds reads like 7 or 0-31"),
    ("override", "blok"),
    ("accelerator", "reads like v5litepod-16 or v4-32, got v5e"),
    ("runtime", "no default for v9-8"),
    ("name", "got 'My TPU'"),
    ("python", "3.11 or newer, got '3.10'"),
  ],
)
def test_a_mistake_costs_no_slice(name, part, printed):
  assert printed[name].startswith("error: ")
  assert part in printed[name]
