"""`launch.tpu_vm`: what its flags ask for, and what it prints."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap

import pytest

from launch.tpu_slice import ConfigFile
from tests.fake_cloud import make_cloud
from tests.gcloud_reference import require_in_reference

TESTS = pathlib.Path(__file__).parent

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


@pytest.mark.parametrize("name", [*ACTIONS, "all"])
def test_gcloud_knows_the_commands_of(name, printed):
  commands = printed_commands(printed[name])
  assert commands
  for command in commands:
    require_in_reference(command)


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
